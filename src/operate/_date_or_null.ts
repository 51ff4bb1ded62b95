/** SQL of the time of a message in milliseconds; null if it is infinite. */
export const FINITE_MILLISECONDS =
  "case when isfinite(time) then date_part('epoch', time) * 1000 end";

/** The Date of milliseconds since 1970; null for none, or if no Date can be so early or late. */
export function dateOrNull(milliseconds: number | null): Date | null {
  const date = new Date(milliseconds ?? NaN);
  return isNaN(Number(date)) ? null : date;
}
