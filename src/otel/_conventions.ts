/*
 * The names of OpenTelemetry's semantic conventions, version 1.45.0: those of databases, HTTP, servers and errors
 * are stable, those of messaging are in development. They are written out here because the package of the
 * conventions is large, and its names in development change with its minor versions.
 */

/** The version of the conventions. */
export const CONVENTIONS = "1.45.0";

/** What the conventions call a messaging system. */
export const SYSTEM = "message_db";

/** Attributes of the conventions. */
export const ATTRIBUTE = {
  messagingSystem: "messaging.system.name",
  operationName: "messaging.operation.name",
  operationType: "messaging.operation.type",
  destination: "messaging.destination.name",
  template: "messaging.destination.template",
  partition: "messaging.destination.partition.id",
  group: "messaging.consumer.group.name",
  messageId: "messaging.message.id",
  messageCount: "messaging.batch.message_count",
  dbSystem: "db.system.name",
  dbNamespace: "db.namespace",
  dbOperation: "db.operation.name",
  dbCollection: "db.collection.name",
  dbProcedure: "db.stored_procedure.name",
  dbSummary: "db.query.summary",
  dbStatus: "db.response.status_code",
  errorType: "error.type",
  serverAddress: "server.address",
  serverPort: "server.port",
  httpMethod: "http.request.method",
  httpRoute: "http.route",
  httpStatus: "http.response.status_code",
  urlPath: "url.path",
  urlScheme: "url.scheme",
} as const;

/** Attributes that the conventions have no name for. */
export const OWN_ATTRIBUTE = {
  /** `"replay"` of a parked message, or `"rewind"`. */
  again: "messagedb.delivery.reason",
  /** From 1. */
  attempt: "messagedb.delivery.attempt",
  /** What a handler answered: `"retry"`, `"skip"`, `"park"` or `"stop"`. */
  verdict: "messagedb.verdict",
  /** What a settling stores: a `"position"`, or a `"parked"` message. */
  settlement: "messagedb.settlement",
  health: "messagedb.consumer.health",
} as const;

/** Metrics of the conventions. */
export const METRIC = {
  sent: "messaging.client.sent.messages",
  consumed: "messaging.client.consumed.messages",
  operationDuration: "messaging.client.operation.duration",
  processDuration: "messaging.process.duration",
  statementDuration: "db.client.operation.duration",
} as const;

/** Metrics that the conventions have no name for. */
export const OWN_METRIC = {
  retries: "messagedb.consumer.retries",
  lagMessages: "messagedb.consumer.lag.messages",
  lagTime: "messagedb.consumer.lag.time",
  parked: "messagedb.consumer.parked",
  health: "messagedb.consumer.state",
  batchSize: "messagedb.group_commit.batch.size",
  queueSize: "messagedb.group_commit.queue.size",
} as const;

/** The buckets that the conventions give for durations of messaging, in seconds. */
export const MESSAGING_BUCKETS: readonly number[] = [
  0.005,
  0.01,
  0.025,
  0.05,
  0.075,
  0.1,
  0.25,
  0.5,
  0.75,
  1,
  2.5,
  5,
  7.5,
  10,
];

/** The buckets that the conventions give for durations of databases, in seconds. */
export const DATABASE_BUCKETS: readonly number[] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 10];

/** What kind of operation of messaging a span is. */
export type OperationType = "send" | "receive" | "process" | "settle";
