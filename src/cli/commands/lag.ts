import type { ConsumerStatus } from "@messagedb/client/operate";
import { type Command, CommanderError } from "commander";
import process from "node:process";
import { waitingFor } from "../../operate/_waiting_for.ts";
import { duration, wholeNumber } from "../terminal/arguments.ts";
import { memberText, noneStored } from "../terminal/consumer_name.ts";
import { badUse, CommandError, EXIT_CODE } from "../terminal/exit_code.ts";
import { withPostgres } from "../terminal/run.ts";
import { countText, printable, spanText } from "../terminal/text.ts";

/** How many messages are counted at least, so that a graph shows what is below the limits, too. */
const LEAST_COUNTED = 10_000;
/** How many parked messages of a consumer are counted. */
const MOST_PARKED = 1000;
/** How many consumers the line names. */
const MOST_NAMED = 3;
/** The exit code of each is its place. */
const STATES = ["OK", "WARNING", "CRITICAL"] as const;

const HELP = `
The line and the exit codes are those of a Nagios plugin: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.
A probe of Kubernetes takes every code but 0 for a failure: give it critical limits only.
A limit is passed by more than that. Without limits, the answer is OK.`;

interface LagOptions {
  readonly warn?: number;
  readonly critical?: number;
  readonly warnAge?: number;
  readonly criticalAge?: number;
  readonly criticalStuck?: boolean;
  readonly warnParked?: number;
}

/** What is measured of a consumer. */
interface Lag {
  readonly status: ConsumerStatus;
  readonly behind: number;
  /** How long the oldest message waits, in milliseconds. */
  readonly age: number;
  /** Whether more messages are parked than the limit says. */
  readonly isParked: boolean;
  /** The place in `STATES`. */
  readonly state: number;
}

export function defineLag(program: Command): void {
  program.command("lag")
    .description("Check how far consumers are behind, for monitoring")
    .argument("[category]", "only consumers of this category, aggregate, or '$all'")
    .option("--warn <count>", "warn if more messages wait", wholeNumber(0))
    .option("--critical <count>", "critical if more messages wait", wholeNumber(0))
    .option("--warn-age <span>", "warn if a message waits for longer: 5m", duration)
    .option("--critical-age <span>", "critical if a message waits for longer: 15m", duration)
    .option(
      "--critical-stuck",
      "critical if a consumer is stuck, or has stopped while messages wait",
    )
    .option(
      "--warn-parked <count>",
      "warn if a consumer has parked more messages",
      wholeNumber(0, MOST_PARKED - 1),
    )
    .addHelpText("after", HELP)
    .exitOverride((error) => {
      const exitCode = error.exitCode === 0 ? EXIT_CODE.done : EXIT_CODE.unknownLag;
      throw new CommanderError(exitCode, error.code, error.message);
    })
    .configureOutput({ outputError: (text) => void process.stdout.write(unknownLine(text)) })
    .action(
      withPostgres(async ({ sql, output }, category: string | undefined, options: LagOptions) => {
        checkLimits(options);
        const { consumers } = await import("@messagedb/client/operate");
        const { warn = 0, critical = 0 } = options;
        const upTo = Math.max(LEAST_COUNTED, warn, critical) + 1;
        const all = (await consumers(sql, { category, upTo }))
          .filter(({ health }) => health !== "replaced");
        if (all.length === 0) throw new CommandError(noneStored(category));
        const measured = all.map((status) => measureLag(status, options));
        const lags = [...measured]
          .sort((one, other) => other.state - one.state || other.age - one.age);
        const { state } = lags[0]!;
        const text = sentenceFor(lags);
        if (output.isJson) {
          const statuses = lags.map(({ status }) => status);
          await output.json({ state: STATES[state], text, consumers: statuses });
        } else {
          const data = measured.map((lag) => performanceData(lag, options));
          await output.print(`MESSAGEDB ${STATES[state]} - ${text}|${data.join(" ")}`);
        }
        return state;
      }, async ({ text }, { output }) => {
        if (output.isJson) await output.json({ state: "UNKNOWN", text, consumers: [] });
        else await output.print(unknownLine(text).trimEnd());
        return EXIT_CODE.unknownLag;
      }),
    );
}

/** What cannot be measured is said on standard output, too: monitoring reads nothing else. */
function unknownLine(text: string): string {
  const sentence = printable(text.trim().replace(/^error: /, "").replaceAll("\n", " "))
    .replaceAll("|", "/");
  return `MESSAGEDB UNKNOWN - ${sentence}\n`;
}

function checkLimits({ warn, critical, warnAge, criticalAge }: LagOptions): void {
  if (warn !== undefined && critical !== undefined && warn > critical) {
    throw badUse("--warn is above --critical: give a lower one");
  }
  if (warnAge !== undefined && criticalAge !== undefined && warnAge > criticalAge) {
    throw badUse("--warn-age is above --critical-age: give a shorter one");
  }
}

function measureLag(status: ConsumerStatus, options: LagOptions): Lag {
  const { warn = Infinity, critical = Infinity, warnAge = Infinity, criticalAge = Infinity } =
    options;
  const { health, parked } = status;
  const { behind, age } = waitingFor(status);
  const hasTrouble = health === "stuck" || health === "stopped";
  const isCritical = behind > critical || age > criticalAge ||
    Boolean(options.criticalStuck) && hasTrouble;
  const isParked = parked > (options.warnParked ?? Infinity);
  const state = isCritical ? 2 : behind > warn || age > warnAge || isParked ? 1 : 0;
  return { status, behind, age, isParked, state };
}

function sentenceFor(lags: readonly Lag[]): string {
  const bad = lags.filter(({ state }) => state > 0);
  const waiting = lags.filter(({ behind }) => behind > 0);
  const named = (bad.length > 0 ? bad : waiting).slice(0, MOST_NAMED);
  const rest = (bad.length > 0 ? bad : waiting).length - named.length;
  if (named.length === 0) return `no message waits for ${consumersText(lags.length)}`;
  return named.map(describeLag).join("; ") + (rest > 0 ? `; and ${rest} more` : "");
}

function consumersText(count: number): string {
  return count === 1 ? "the consumer" : `${countText(count)} consumers`;
}

function describeLag({ status, behind, age, isParked }: Lag): string {
  const { health, isBehindMore, parked, isParkedMore } = status;
  const count = `${countText(behind)}${isBehindMore ? "+" : ""} behind`;
  const text = [
    `${memberText(status)} is ${health}`,
    ...behind > 0 || !isParked ? [count, `oldest ${spanText(age)}`] : [],
    ...isParked ? [`${countText(parked)}${isParkedMore ? "+" : ""} parked`] : [],
  ].join(", ");
  return text.replaceAll("|", "/");
}

/** As the Monitoring Plugins guidelines say: `'label'=value[UOM];[warn];[crit];[min]`. */
function performanceData(
  { status: { partition, streamName, parked }, behind, age }: Lag,
  { warn, critical, warnAge, criticalAge, warnParked }: LagOptions,
): string {
  const place = partition === undefined ? "" : `partition ${partition} `;
  const label = place + printable(streamName).replaceAll("'", "''").replaceAll("=", "_");
  const seconds = (span: number | undefined) => span === undefined ? "" : Math.round(span / 1000);
  return `'${label}'=${behind};${warn ?? ""};${critical ?? ""};0 ` +
    `'${label} age'=${seconds(age)}s;${seconds(warnAge)};${seconds(criticalAge)};0 ` +
    `'${label} parked'=${parked};${warnParked ?? ""};;0`;
}
