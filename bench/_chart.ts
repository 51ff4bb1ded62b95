export function chart(_: unknown): string { return ""; }
