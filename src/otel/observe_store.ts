import { type Attributes, type BatchObservableResult, diag, type Meter } from "@opentelemetry/api";
import { checkCategory, checkOptions } from "../names/_check.ts";
import { waitingFor } from "../operate/_waiting_for.ts";
import { consumers, type ConsumerStatus } from "../operate/consumers.ts";
import type { Sql } from "../types.ts";
import { ATTRIBUTE, OWN_ATTRIBUTE, OWN_METRIC, SYSTEM } from "./_conventions.ts";
import { errorTypeOf } from "./_error_type.ts";
import { meterOf } from "./_telemetry.ts";

/** Options of `observeStore`. */
export interface ObserveStoreOptions {
  /**
   * What makes the metrics.
   *
   * @default the meter "@messagedb/client" of the registered provider
   */
  readonly meter?: Meter | undefined;
  /**
   * The category whose consumers are observed, `"$all"`, or the name of an aggregate.
   *
   * @default all consumers of the store
   */
  readonly category?: string | undefined;
  /**
   * What all metrics get besides.
   *
   * @default none
   */
  readonly attributes?: Readonly<Record<string, string | number | boolean>> | undefined;
}

/** Ends what `observeStore` has begun. */
export interface StoreObservation {
  /** Ends it: the metrics are not observed any more. */
  stop(): void;
}

/**
 * Observes the consumers of a store as metrics: how far each is behind, in messages and in seconds, how many parked
 * messages are open, and how each is.
 *
 * The store is asked when the metrics are collected: by one statement for each export, and never twice at a time.
 * If the store does not answer, the metrics are missing from that export. One process of all is enough: each
 * observes the whole store. Positions that another size of the group has replaced are left out.
 *
 * - `messagedb.consumer.lag.messages`: how many messages wait, 1,000 (of `"$all"` 5,000) at most.
 * - `messagedb.consumer.lag.time`: how long the oldest of them waits, in seconds; 0 if none does.
 * - `messagedb.consumer.parked`: how many parked messages are neither replayed nor discarded.
 * - `messagedb.consumer.state`: 1, with `messagedb.consumer.health` as `consumers` tells it.
 *
 * @example
 * ```ts
 * import { observeStore } from "@messagedb/client/otel";
 *
 * const observation = observeStore(sql);
 * observation.stop();
 * ```
 *
 * @param sql The handle. Its role needs no more rights than to read messages. A gateway refuses the statement.
 * @param options With what, and which consumers.
 * @returns What ends it.
 * @throws {TypeError} If the category is no category.
 */
export function observeStore(sql: Sql, options: ObserveStoreOptions = {}): StoreObservation {
  checkOptions(options, { meter: true, category: true, attributes: true });
  const { category, attributes = {} } = options;
  if (category !== undefined && category !== "$all") checkCategory("category", category);
  const meter = meterOf(options.meter);
  const gauge = (name: string, unit: string, description: string) =>
    meter.createObservableGauge(name, { unit, description });
  const gauges = {
    lagMessages: gauge(OWN_METRIC.lagMessages, "{message}", "Messages that wait for a consumer."),
    lagTime: gauge(OWN_METRIC.lagTime, "s", "How long the oldest waiting message waits."),
    parked: gauge(OWN_METRIC.parked, "{message}", "Parked messages that are open."),
    health: gauge(OWN_METRIC.health, "{consumer}", "Consumers, by their health."),
  };
  const instruments = Object.values(gauges);
  let asking: Promise<ConsumerStatus[]> | undefined;
  const observe = async (result: BatchObservableResult): Promise<void> => {
    try {
      asking ??= consumers(sql, { category });
      for (const status of inUse(await asking)) {
        const ofConsumer = { ...attributes, ...attributesOf(status) };
        const ofMember = { ...ofConsumer, ...memberAttributes(status) };
        const health = { ...ofMember, [OWN_ATTRIBUTE.health]: status.health };
        const { behind, age } = waitingFor(status);
        result.observe(gauges.lagMessages, behind, ofMember);
        result.observe(gauges.lagTime, age / 1000, ofMember);
        // Members have their parked messages together, so the same is observed for each.
        if (status.consumerId !== null) result.observe(gauges.parked, status.parked, ofConsumer);
        result.observe(gauges.health, 1, health);
      }
    } catch (error) {
      diag.error(`@messagedb/client cannot observe the store: ${errorTypeOf(error)}`);
    } finally {
      asking = undefined;
    }
  };
  meter.addBatchObservableCallback(observe, instruments);
  return { stop: () => meter.removeBatchObservableCallback(observe, instruments) };
}

function inUse(statuses: readonly ConsumerStatus[]): ConsumerStatus[] {
  return statuses.filter(({ health }) => health !== "replaced");
}

function attributesOf({ category, aggregate, consumerId }: ConsumerStatus): Attributes {
  return {
    [ATTRIBUTE.messagingSystem]: SYSTEM,
    [ATTRIBUTE.template]: category ?? aggregate!,
    ...(consumerId !== null && { [ATTRIBUTE.group]: consumerId }),
  };
}

function memberAttributes({ consumerGroup }: ConsumerStatus): Attributes {
  return consumerGroup ? { [ATTRIBUTE.partition]: String(consumerGroup.member) } : {};
}
