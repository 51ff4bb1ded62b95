import type { Message } from "@messagedb/client";

export { readStream, write } from "@messagedb/client";
export { fetchSql } from "@messagedb/client/fetch";

/** What a page has heard of one address, and how often it came to hear. */
export interface Heard {
  readonly messages: Message[];
  readonly ids: string[];
  connections: number;
  failures: number;
}

/** Hears messages of an address from now on. */
export function follow(url: string): Heard {
  const heard: Heard = { messages: [], ids: [], connections: 0, failures: 0 };
  const source = new EventSource(url);
  source.onopen = () => heard.connections++;
  source.onerror = () => heard.failures++;
  source.onmessage = ({ data, lastEventId }) => {
    heard.messages.push(JSON.parse(data));
    heard.ids.push(lastEventId);
  };
  return heard;
}
