import type { Mark } from "../../../read/_mark.ts";
import { parseJson } from "../_body.ts";
import type { Call } from "../_calls.ts";
import { Refusal } from "../_problem.ts";

export type Parameter = string | null;

/** The parameters of a statement by name. A parameter that the statement does not have is undefined. */
export type Parameters = Readonly<Record<string, Parameter | undefined>>;

/** Makes the call that sends a statement with these parameters. The operation checks the parameters. */
export type MakeCall = (parameters: Parameters, maxBatchSize: number) => Call<unknown>;

export const CANNOT_RUN = "Cannot run this statement";

/** A list of texts that is sent as JSON. */
export function textListOf(parameter: Parameter | undefined): string[] | undefined {
  const texts = jsonOf(parameter) ?? undefined;
  if (texts === undefined) return undefined;
  if (Array.isArray(texts) && texts.every((it) => typeof it === "string")) return texts;
  throw new Refusal(422, `${CANNOT_RUN}: a list is no array of texts`);
}

export function requiredText(parameter: Parameter | undefined): string {
  if (typeof parameter === "string") return parameter;
  throw new Refusal(422, `${CANNOT_RUN}: a parameter is missing`);
}

export function numberOf(parameter: Parameter | undefined): number | undefined {
  return parameter == null ? undefined : Number(parameter);
}

/** A mark of a read that goes on: its position, its id and the name of its store. */
export function markOf(parameter: Parameter | undefined): Mark | null {
  const mark = jsonOf(parameter);
  if (mark === null) return null;
  const [position, id, store] = Array.isArray(mark) ? mark : [];
  if (Number.isSafeInteger(position) && [id, store].every(isTextOrNull)) {
    return { position, id, store };
  }
  throw new Refusal(422, `${CANNOT_RUN}: a mark is no position with its id and store`);
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === "string";
}

export function jsonOf(parameter: Parameter | undefined): unknown {
  return parameter == null ? null : parseJson("a parameter", parameter);
}
