import { parseJson } from "../_body.ts";
import type { Call } from "../_calls.ts";
import { Refusal } from "../_problem.ts";

export type Parameter = string | null;

/** A statement's parameters by name; one that it does not have is undefined. */
export type Parameters = Readonly<Record<string, Parameter | undefined>>;

/** Makes the call that sends a statement with these parameters; its operation checks them. */
export type CallOf = (parameters: Parameters, maxBatchSize: number) => Call<unknown>;

export const CANNOT = "Cannot run this statement";

/** A list of texts that travels as JSON: what it holds is left to the operation to check. */
export function textsOf(parameter: Parameter | undefined): string[] | undefined {
  const texts = parsedJson(parameter) ?? undefined;
  if (texts === undefined || Array.isArray(texts)) return texts;
  throw new Refusal(422, `${CANNOT}: a list is no array`);
}

export function required(parameter: Parameter | undefined): string {
  if (typeof parameter === "string") return parameter;
  throw new Refusal(422, `${CANNOT}: a parameter is missing`);
}

export function numberOf(parameter: Parameter | undefined): number | undefined {
  return parameter == null ? undefined : Number(parameter);
}

export function parsedJson(parameter: Parameter | undefined): unknown {
  return parameter == null ? null : parseJson("a parameter", parameter);
}
