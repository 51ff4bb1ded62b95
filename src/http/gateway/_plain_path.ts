/** Whether requests have the path as it is written. "/a b" is no such path: it arrives as "/a%20b". */
export function isPlainPath(path: string): boolean {
  return URL.canParse(path, "http://server") && new URL(path, "http://server").pathname === path;
}
