import { entityName } from "./stream_name.ts";

/** What tells where the streams of a LIKE pattern are: the pattern, or `"$all"` if it may match several categories. */
export function patternScope(pattern: string): string {
  return /[%_\\]/.test(entityName(pattern)) ? "$all" : pattern;
}
