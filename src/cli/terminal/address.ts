/** The address of a store. */
export interface Address {
  /** The address; of a database that is on several servers, with the first of them alone. */
  readonly url: URL;
  /** The servers with their ports: `db1:5432`. The driver connects to the first that fits. */
  readonly servers: readonly string[];
}

/** What is before the servers of an address, and the servers, if there are several. */
const SEVERAL_SERVERS = /^(postgres(?:ql)?:\/\/(?:[^/?#]*@)?)([^/?#@]*,[^/?#@]*)(?![^/?#])/;

/** Undefined for what is no address of a store. */
export function parseAddress(text: string): Address | undefined {
  const [, before = "", list] = SEVERAL_SERVERS.exec(text) ?? [];
  if (list === undefined) {
    const url = parseUrl(text);
    return url && { url, servers: [url.host] };
  }
  const servers = list.split(",");
  // Two addresses with a comma between them: "postgres:" is no server.
  if (!servers.every((it) => /[^:]$/.test(it) && URL.canParse(`postgres://${it}`))) {
    return undefined;
  }
  // A URL takes the port of one server only.
  const url = parseUrl(`${before}${servers[0]}${text.slice(before.length + list.length)}`);
  return url && { url, servers };
}

function parseUrl(text: string): URL | undefined {
  if (!/^(postgres(ql)?|https?):\/\//.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  // Two addresses with a comma between them: the second would be a part of the database's name, with its password.
  if (url.pathname.includes("://")) return undefined;
  try {
    for (const part of [url.username, url.password, url.pathname]) decodeURIComponent(part);
  } catch {
    return undefined;
  }
  return url;
}

/** The address as it is printed: without the user, the password and what follows the database. */
export function addressText({ url: { protocol, pathname }, servers }: Address): string {
  return `${protocol}//${servers.join(",")}${pathname === "/" ? "" : pathname}`;
}

/** The address as the driver takes it. */
export function driverAddress({ url, servers }: Address): string {
  const { protocol, username, password, pathname, search } = url;
  const user = username === "" && password === "" ? "" : `${username}:${password}@`;
  return `${protocol}//${user}${servers.join(",")}${pathname}${search}`;
}

export function isGateway({ url: { protocol } }: Address): boolean {
  return protocol === "http:" || protocol === "https:";
}
