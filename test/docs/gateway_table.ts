/**
 * The table of endpoints in docs/reference/gateway-api.md, made of the gateway's own OpenAPI document.
 *
 * Run as a program, it renews the page: `npx tsx test/docs/gateway_table.ts`.
 */
import process from "node:process";
import { gateway } from "../../src/http/gateway.ts";
import { renewPart, table } from "./_made_part.ts";

export const GATEWAY_PAGE = "docs/reference/gateway-api.md";

interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required?: boolean;
  readonly description?: string;
  readonly schema: Readonly<Record<string, unknown>>;
}

interface Operation {
  readonly summary: string;
  readonly parameters: readonly Parameter[];
  readonly responses: Readonly<
    Record<string, { readonly $ref?: string; readonly description?: string }>
  >;
}

interface ObjectSchema {
  readonly properties?: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly required?: readonly string[];
}

interface OpenapiDocument {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly responses: Readonly<Record<string, { readonly description: string }>>;
    readonly schemas: Readonly<Record<string, ObjectSchema>>;
  };
}

/** The part of the page that is generated, as the gateway describes itself. */
export async function gatewayTables(): Promise<string> {
  const handle = gateway(() => Promise.resolve([]), { authorize: () => false });
  const answer = await handle(new Request("http://gateway/openapi.json"));
  const { paths, components } = await answer.json() as OpenapiDocument;
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      title: `${method.toUpperCase()} ${path}`,
      ...operation,
    }))
  );
  const endpoints = operations.map(({ title, summary, responses }) => {
    const answers = Object.entries(responses).map(([status]) => status).sort();
    return [`[\`${title}\`](#${anchorOf(title)})`, summary, answers.join(", ")];
  });
  const sections = operations.map(({ title, summary, parameters, responses }) => {
    const own = Object.entries(responses).filter(([, { $ref }]) => $ref === undefined);
    return [
      `### ${title}\n`,
      `${summary}.\n`,
      ...parameters.length === 0
        ? []
        : [table(["Parameter", "In", "Form", "What"], parameters.map(rowOfParameter)), ""],
      ...own.map(([status, { description }]) => `- ${status}: ${description}`),
      "",
    ].join("\n");
  });
  const statuses = Object.entries(components.responses).map(([status, { description }]) => {
    return [status, description];
  });
  const bodies = ["NewMessage", "NewMessages", "NewStreams", "Message"].map((name) => {
    const { properties = {}, required = [] } = components.schemas[name]!;
    const rows = Object.entries(properties).map(([member, schema]) => [
      `\`${member}\`${name !== "Message" && required.includes(member) ? " (required)" : ""}`,
      formOf(schema),
      String(schema["description"] ?? ""),
    ]);
    return `### ${name}\n\n${table(["Member", "Form", "What"], rows)}\n`;
  });
  return [
    table(["Endpoint", "What", "Statuses"], endpoints),
    "",
    ...sections,
    ...bodies,
    "### Problems\n",
    "What each status of 400 or more means:\n",
    table(["Status", "What"], statuses),
    "",
  ].join("\n");
}

function rowOfParameter(parameter: Parameter): string[] {
  const { name, required, description = "", schema } = parameter;
  return [
    `\`${name}\`${required ? " (required)" : ""}`,
    parameter.in,
    formOf(schema),
    description,
  ];
}

function formOf(schema: Parameter["schema"]): string {
  const { type, format, minimum, maximum, default: byDefault, enum: values, const: only } = schema;
  const isBounded = minimum !== undefined || (maximum !== undefined && maximum !== 2 ** 53 - 1);
  return [
    values ? (values as unknown[]).map((value) => `\`${value}\``).join(" or ") : undefined,
    only === undefined ? undefined : `\`${only}\``,
    values || only !== undefined ? undefined : [type, format].filter(Boolean).join(", "),
    isBounded && minimum !== undefined ? `from ${minimum}` : undefined,
    maximum !== undefined && maximum !== 2 ** 53 - 1 ? `up to ${maximum}` : undefined,
    byDefault === undefined ? undefined : `default \`${byDefault}\``,
  ].filter((it) => it !== undefined && it !== "").join(", ");
}

/** As GitHub makes the anchor of a heading. */
function anchorOf(heading: string): string {
  return heading.toLowerCase().replaceAll(/[^\p{L}\p{N}_\- ]/gu, "").replaceAll(" ", "-");
}

if (process.argv[1]?.endsWith("gateway_table.ts")) renewPart(GATEWAY_PAGE, await gatewayTables());
