import { type Shared, shared } from "./store.ts";

/** What happened, in a sentence that is shown for a while and read out. */
export const announcement: Shared<string> = shared("");

let timer: ReturnType<typeof setTimeout> | undefined;

/** @param shownFor Milliseconds. */
export function announce(text: string, shownFor = 5000): void {
  announcement.set(text);
  clearTimeout(timer);
  timer = setTimeout(() => announcement.set(""), shownFor);
}

export async function copyText(text: string, what: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    announce(`Copied ${what}`);
  } catch {
    announce("Cannot copy: the browser does not allow it here");
  }
}
