import {
  type Attributes,
  context,
  type Link,
  type Span,
  SpanKind,
  trace,
} from "@opentelemetry/api";
import type {
  ConsumerObserver,
  Delivery,
  GroupObserver,
  ObservedSource,
} from "../handle/_observe.ts";
import { isPromise } from "../lib/promise.ts";
import { category, isCategory } from "../names/stream_name.ts";
import type { Message } from "../types.ts";
import { ATTRIBUTE, OWN_ATTRIBUTE, SYSTEM } from "./_conventions.ts";
import { errorTypeOf, failSpan, withFailure } from "./_error_type.ts";
import { operationOf, secondsSince, type Telemetry } from "./_telemetry.ts";
import { endSpan } from "./_unfailing.ts";
import {
  carrierOf,
  inHand,
  linksToSenders,
  ownTraceIn,
  senderOf,
  spanContextIn,
  withTrace,
} from "./_trace_context.ts";

/** Makes the observer of a consumer or a subscription. */
export function consumerObserver(telemetry: Telemetry, source: ObservedSource): ConsumerObserver {
  const { tracer, instruments } = telemetry;
  const { name, consumerId, member } = source;
  const template = name === "$all" || isCategory(name) ? name : category(name);
  const ofConsumer: Attributes = {
    ...(consumerId !== undefined && { [ATTRIBUTE.group]: consumerId }),
    ...(member !== undefined && { [ATTRIBUTE.partition]: String(member) }),
  };
  const receive = operationOf(telemetry, "receive", template);
  const received = { ...receive.attributes, ...ofConsumer };
  const counted = { ...receive.counted, ...ofConsumer };
  const options = {
    kind: SpanKind.CLIENT,
    attributes: { ...received, [ATTRIBUTE.destination]: name },
  };
  return {
    receive: async (read) => {
      const startedAt = performance.now();
      const span = tracer.startSpan(receive.name, options);
      let failure: Attributes | undefined;
      try {
        const page = await context.with(trace.setSpan(context.active(), span), read);
        if (page.length > 0) instruments.consumed(page.length, counted);
        if (span.isRecording()) {
          span.setAttribute(ATTRIBUTE.messageCount, page.length);
          span.addLinks(linksToSenders(page.messages(), idOf));
        }
        return page;
      } catch (error) {
        failure = failSpan(span, errorTypeOf(error));
        throw error;
      } finally {
        instruments.operationDuration(
          secondsSince(startedAt),
          withFailure(received, failure),
        );
        endSpan(span);
      }
    },
    process: processor(telemetry, source, template, ofConsumer),
    retry: () => instruments.retries(1, counted),
  };
}

function idOf({ id }: Message): Attributes {
  return { [ATTRIBUTE.messageId]: id };
}

/** Makes the function that calls handlers. */
function processor(
  telemetry: Telemetry,
  { name }: ObservedSource,
  template: string,
  ofConsumer: Attributes,
): ConsumerObserver["process"] {
  const { instruments } = telemetry;
  const operation = operationOf(telemetry, "process", template);
  const processed = { ...operation.attributes, ...ofConsumer };
  const measured = { ...operation.counted, ...ofConsumer };
  return <Answer>(delivery: Delivery, call: () => Answer): Answer => {
    const startedAt = performance.now();
    const [span, within] = startProcess(telemetry, delivery, operation.name, name, processed);
    const end = (failure?: Attributes) => {
      instruments.processDuration(secondsSince(startedAt), withFailure(measured, failure));
      endSpan(span);
    };
    const done = <Value>(answer: Value): Value => {
      if (typeof answer === "string" && VERDICT.test(answer)) {
        span.setAttribute(OWN_ATTRIBUTE.verdict, answer);
      }
      end();
      return answer;
    };
    try {
      const answer = context.with(within, call);
      if (!isPromise(answer)) return done(answer);
      // The answer may be a query that is sent when somebody waits for it: it is sent within the span, too.
      return context.with(within, () =>
        Promise.resolve(answer).then(done, (error) => {
          end(failSpan(span, errorTypeOf(error)));
          throw error;
        })) as Answer;
    } catch (error) {
      end(failSpan(span, errorTypeOf(error)));
      throw error;
    }
  };
}

const VERDICT = /^(retry|skip|park|stop)$/;

/** Starts the span of a handler, linked to those who have sent the messages, or as a child of the one sender. */
function startProcess(
  { tracer, isChild }: Telemetry,
  { messages, attempt, again }: Delivery,
  spanName: string,
  name: string,
  processed: Attributes,
): [span: Span, within: ReturnType<typeof context.active>] {
  const [only] = messages.length === 1 ? messages : [];
  const sender = only && senderOf(only);
  let parent = context.active();
  let links: Link[] = [];
  if (sender && isChild) parent = trace.setSpanContext(parent, sender);
  else links = linksToSenders(messages, only ? undefined : idOf);
  const span = tracer.startSpan(spanName, {
    kind: SpanKind.CONSUMER,
    links,
    attributes: {
      [ATTRIBUTE.destination]: only?.streamName ?? name,
      ...(attempt > 1 && { [OWN_ATTRIBUTE.attempt]: attempt }),
      ...(again !== undefined && { [OWN_ATTRIBUTE.again]: again }),
      ...processed,
    },
  }, parent);
  if (only) span.setAttribute(ATTRIBUTE.messageId, only.id);
  else span.setAttribute(ATTRIBUTE.messageCount, messages.length);
  return [span, inHand(trace.setSpan(parent, span), messages)];
}

/** What is kept of a write of a group. */
interface Kept {
  readonly span: Span;
  isQueued: boolean;
}

/** Makes the observer of a `groupCommit`. */
export function groupObserver(telemetry: Telemetry): GroupObserver {
  const { tracer, instruments } = telemetry;
  const attributes = { ...telemetry.attributes, [ATTRIBUTE.messagingSystem]: SYSTEM };
  const leaveQueue = (kept: Kept) => {
    if (kept.isQueued) instruments.queueSize(-1, attributes);
    kept.isQueued = false;
  };
  return {
    write: async (message, submit) => {
      const template = category(message.streamName);
      const { name, attributes: sent, counted } = operationOf(telemetry, "send", template);
      const startedAt = performance.now();
      const active = context.active();
      const creation = spanContextIn({ traceparent: ownTraceIn(message.metadata, active) });
      const span = tracer.startSpan(name, {
        kind: creation ? SpanKind.CLIENT : SpanKind.PRODUCER,
        ...(creation && { links: [{ context: creation }] }),
        attributes: {
          [ATTRIBUTE.destination]: message.streamName,
          [ATTRIBUTE.messageId]: message.id,
          ...sent,
        },
      });
      const observed: Kept = { span, isQueued: true };
      const metadata = span.isRecording()
        ? withTrace(message.metadata, carrierOf(span.spanContext()), active) ?? message.metadata
        : message.metadata;
      instruments.queueSize(1, attributes);
      let failure: Attributes | undefined;
      try {
        return await submit({ ...message, metadata, observed });
      } catch (error) {
        failure = failSpan(span, errorTypeOf(error));
        throw error;
      } finally {
        leaveQueue(observed);
        instruments.sent(1, withFailure(counted, failure));
        instruments.operationDuration(secondsSince(startedAt), withFailure(sent, failure));
        endSpan(span);
      }
    },
    carry: async (writes, send) => {
      const { carried } = telemetry;
      instruments.batchSize(writes.length, attributes);
      for (const { id, observed } of writes) {
        leaveQueue(observed as Kept);
        carried.set(id, (observed as Kept).span);
      }
      try {
        return await send();
      } finally {
        for (const { id } of writes) carried.delete(id);
      }
    },
  };
}
