const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

export function isMessageId(text: string): boolean {
  return UUID.test(text);
}

/** The position that a text is; undefined if it is none. */
export function typedPosition(text: string | null | undefined): number | undefined {
  return /^\d{1,15}$/.test(text ?? "") ? Number(text) : undefined;
}

/** The types that a text names, with commas between. A comma of a type itself has a backslash before it. */
export function typedTypes(text: string): string[] {
  const each = text.match(/(?:\\[\\,]|[^,])+/g) ?? [];
  return each.map((it) => it.replace(/\\([\\,])/g, "$1"));
}

/** A type as one types it. */
export function textOfType(type: string): string {
  return type.replace(/[\\,]/g, "\\$&");
}
