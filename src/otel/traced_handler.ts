import { context, SpanKind, trace, type Tracer } from "@opentelemetry/api";
import { routeOf } from "../http/_routes.ts";
import { readUrl } from "../http/gateway/_url_of.ts";
import { checkFunction, checkOptions } from "../names/_check.ts";
import { ATTRIBUTE } from "./_conventions.ts";
import { errorTypeOf, failSpan } from "./_error_type.ts";
import { tracerOf } from "./_telemetry.ts";
import { endSpan } from "./_unfailing.ts";
import { spanContextIn } from "./_trace_context.ts";

/** The methods that the conventions of HTTP name. */
const METHODS = /^(GET|HEAD|POST|PUT|DELETE|CONNECT|OPTIONS|TRACE|PATCH|QUERY)$/;

/** Options of `tracedHandler`. */
export interface TracedHandlerOptions {
  /**
   * What makes the spans.
   *
   * @default the tracer "@messagedb/client" of the registered provider
   */
  readonly tracer?: Tracer | undefined;
  /**
   * The `basePath` of the gateway.
   *
   * @default "", the root
   */
  readonly basePath?: string | undefined;
}

/**
 * Makes a handler of requests that hears the `traceparent` of a request: what the gateway does for the request is
 * part of the trace that the client began.
 *
 * Each request is a span of the kind SERVER, by the conventions of HTTP. Where a span is active already, because
 * the framework or the runtime makes one for each request, no other is made. The span of a live read ends when the
 * answer begins.
 *
 * @example
 * ```ts
 * import { gateway } from "@messagedb/client/gateway";
 * import { traced, tracedHandler } from "@messagedb/client/otel";
 *
 * const handle = tracedHandler(gateway(traced(sql), { authorize: (_, { writes }) => !writes }));
 * const response = await handle(new Request("http://localhost/streams/account-123"));
 * ```
 *
 * @param handle The function that answers a request, as `gateway` makes it.
 * @param options With what spans are made.
 * @returns The function that answers a request.
 * @throws {TypeError} If `handle` is no function.
 */
export function tracedHandler(
  handle: (request: Request) => Promise<Response>,
  options: TracedHandlerOptions = {},
): (request: Request) => Promise<Response> {
  checkFunction("handle", handle);
  checkOptions(options, { tracer: true, basePath: true });
  const { basePath = "" } = options;
  const tracer = tracerOf(options.tracer);
  return async (request) => {
    const url = trace.getActiveSpan() === undefined ? readUrl(request) : undefined;
    // What has no address, the handler refuses.
    if (url === undefined) return await handle(request);
    const { protocol, pathname } = url;
    const route = routeOf(pathname, basePath);
    const caller = spanContextIn({
      traceparent: request.headers.get("traceparent"),
      tracestate: request.headers.get("tracestate"),
    });
    const active = context.active();
    const parent = caller ? trace.setSpanContext(active, caller) : active;
    // A client may send any word as its method.
    const method = METHODS.test(request.method) ? request.method : "_OTHER";
    const name = method === "_OTHER" ? "HTTP" : method;
    const span = tracer.startSpan(
      route === undefined ? name : `${name} ${route}`,
      {
        kind: SpanKind.SERVER,
        attributes: {
          [ATTRIBUTE.httpMethod]: method,
          [ATTRIBUTE.urlScheme]: protocol.slice(0, -1),
          [ATTRIBUTE.urlPath]: pathname,
          ...(route !== undefined && { [ATTRIBUTE.httpRoute]: route }),
        },
      },
      parent,
    );
    try {
      const response = await context.with(trace.setSpan(parent, span), () => handle(request));
      span.setAttribute(ATTRIBUTE.httpStatus, response.status);
      if (response.status >= 500) failSpan(span, String(response.status));
      return response;
    } catch (error) {
      failSpan(span, errorTypeOf(error));
      throw error;
    } finally {
      endSpan(span);
    }
  };
}
