import type { Sql } from "@messagedb/client";
import { gateway, type GatewayOptions } from "@messagedb/client/gateway";
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { expect } from "vitest";

/** What the tests use of an OpenAPI document. */
export interface OpenApi {
  readonly servers: readonly { readonly url: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, { readonly examples?: readonly unknown[] }>>;
    readonly responses: Readonly<Record<string, Content>>;
  };
}

interface Operation {
  readonly operationId: string;
  readonly parameters: readonly {
    readonly name: string;
    readonly in: "path" | "query" | "header";
    readonly description: string;
  }[];
  readonly requestBody?: Content;
  readonly responses: Readonly<Record<string, Content | { readonly $ref: string }>>;
}

interface Content {
  /** Left out of an answer without a body. */
  readonly content: Readonly<
    Record<string, {
      readonly example?: unknown;
      readonly examples?: Readonly<Record<string, { readonly value: Record<string, unknown> }>>;
    }>
  >;
}

/** An answer of a gateway, its body parsed where it is JSON. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // deno-lint-ignore no-explicit-any -- each test knows what it asked for
  readonly body: any;
}

export interface Api {
  /** Sends a request; what is no text and no stream is sent as JSON. */
  send(method: string, path: string, body?: unknown, headers?: HeadersInit): Promise<Answer>;
  get(path: string, headers?: HeadersInit): Promise<Answer>;
  post(path: string, body: unknown, headers?: HeadersInit): Promise<Answer>;
}

/** A gateway whose every answer is held to the document that it serves. */
export function api(
  sql: Sql,
  options: Partial<GatewayOptions> = {},
  seen: (method: string, path: string, status: number) => void = () => {},
): Api {
  const handle = gateway(sql, { authorize: () => true, ...options });
  const base = `http://gateway${options.basePath ?? ""}`;
  const described = handle(new Request(`${base}/openapi.json`))
    .then((response) => response.json()).then(describe);

  const send: Api["send"] = async (method, path, body, headers = {}) => {
    const all = new Headers(headers);
    if (body !== undefined && !all.has("content-type")) all.set("content-type", "application/json");
    const isRaw = body === undefined || typeof body === "string" || body instanceof ReadableStream;
    const request = new Request(base + path, {
      method,
      headers: all,
      body: (isRaw ? body : JSON.stringify(body)) as BodyInit,
      duplex: "half",
    } as RequestInit);
    const response = await handle(request);
    expect(response.headers.get("cache-control")).toMatch(/^no-store/);
    expect(response.headers.get("x-content-type-options")).toBe("nosniff");
    const isJson = /json/.test(response.headers.get("content-type") ?? "");
    const answer = {
      status: response.status,
      headers: response.headers,
      body: isJson ? await response.json() : response.body,
    };
    const template = (await described).check({ method, path, headers: all, body }, answer);
    seen(method, template, response.status);
    return answer;
  };
  return {
    send,
    get: (path, headers) => send("GET", path, undefined, headers),
    post: (path, body, headers) => send("POST", path, body, headers),
  };
}

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly headers: Headers;
  readonly body: unknown;
}

/** What a document says of an answer. */
function describe(document: OpenApi): { check(sent: Sent, answer: Answer): string } {
  const validate = validator(document);

  function check({ method, path, headers, body }: Sent, answer: Answer): string {
    const type = answer.headers.get("content-type")!;
    const { pathname, searchParams } = new URL(`http://gateway${path}`);
    const template = templateOf(document, pathname);
    const operations = Object.hasOwn(document.paths, template)
      ? document.paths[template]
      : undefined;
    if (operations === undefined) {
      expect([answer.status, type]).toEqual([404, "application/problem+json"]);
      validate(["components", "schemas", "Problem"], answer.body);
      return template;
    }
    const operation = Object.hasOwn(operations, method.toLowerCase())
      ? operations[method.toLowerCase()]
      : undefined;
    if (operation === undefined) {
      expect([answer.status, type]).toEqual([405, "application/problem+json"]);
      // HEAD is with every GET, and is not described by itself.
      const methods = Object.keys(operations).flatMap((it) =>
        it === "get" ? ["get", "head"] : [it]
      );
      expect(answer.headers.get("allow")).toBe(methods.join(", ").toUpperCase());
      validate(["components", "schemas", "Problem"], answer.body);
      return template;
    }
    const at = ["paths", template, method.toLowerCase()];
    const response = operation.responses[answer.status];
    expect(response, `${method} ${template} describes ${answer.status}`).toBeDefined();
    const place = "$ref" in response!
      ? response.$ref.slice(2).split("/")
      : [...at, "responses", String(answer.status)];
    const { content } = contentOf(document, response!);
    if (content === undefined) expect(type).toBeNull();
    else expect(Object.keys(content)).toContain(type);
    if (/json/.test(type)) validate([...place, "content", type, "schema"], answer.body);
    if (answer.status < 300) {
      for (const [number, { name, in: place }] of operation.parameters.entries()) {
        const value = place === "query" ? searchParams.get(name) : headers.get(name);
        if (place === "path" || value === null || value === "") continue;
        const isText = typeof value === "string" && !/^-?\d+$/.test(value);
        validate([...at, "parameters", String(number), "schema"], isText ? value : Number(value));
      }
      const content = Object.keys(operation.requestBody?.content ?? {})[0];
      if (content !== undefined) {
        validate(
          [...at, "requestBody", "content", content, "schema"],
          typeof body === "string" ? JSON.parse(body) : body,
        );
      }
    }
    return template;
  }
  return { check };
}

/** What an answer is, in its place or by reference. */
export function contentOf(document: OpenApi, response: Operation["responses"][string]): Content {
  if (!("$ref" in response)) return response;
  return document.components.responses[response.$ref.split("/").at(-1)!]!;
}

/** Holds values to the schemas of a document, each by its place there. */
export function validator(document: OpenApi): (at: readonly string[], value: unknown) => void {
  const ajv = new Ajv2020({ allErrors: true, allowUnionTypes: true });
  addFormats.default(ajv);
  ajv.addVocabulary(Object.keys(document));
  ajv.addSchema(document, "document");
  const compiled = new Map<string, ValidateFunction>();
  return (at, value) => {
    const pointer = at.map((it) =>
      encodeURIComponent(it.replaceAll("~", "~0").replaceAll("/", "~1"))
    ).join("/");
    let validate = compiled.get(pointer);
    validate ??= ajv.compile({ $ref: `document#/${pointer}` });
    compiled.set(pointer, validate);
    validate(value);
    expect(validate.errors, `${at.join(" ")}: ${JSON.stringify(value)}`).toBeNull();
  };
}

/** The path of the document that a path is; itself where it is none. */
export function templateOf(document: OpenApi, path: string): string {
  const segments = path.split("/");
  return Object.keys(document.paths).find((template) => {
    const parts = template.split("/");
    return parts.length === segments.length &&
      parts.every((part, at) => part === segments[at] || part.startsWith("{"));
  }) ?? path;
}
