/** The licenses of packages that a bundle has inside: most of them ask for that. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The licenses of the packages that these files are of, as Markdown. */
export function licensesOf(paths: readonly string[]): string {
  const found = paths.map((path) => /.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(path)?.[0]);
  const folders = [...new Set(found)].filter((folder) => folder !== undefined);
  return folders.sort().map(licenseOf).join("\n");
}

function licenseOf(folder: string): string {
  const { name, version, license, author } = JSON.parse(
    readFileSync(join(folder, "package.json"), "utf8"),
  );
  const file = readdirSync(folder).find((it) => /^licen[cs]e/i.test(it));
  // Where a package has no file, its license is the one that it names, of the author that it names.
  const text = file === undefined
    ? license === "MIT"
      ? readFileSync("LICENSE", "utf8").replace(/^Copyright.*$/m, `Copyright (c) ${author}`)
      : `License: ${license}. Author: ${author}.`
    : readFileSync(join(folder, file), "utf8");
  return `## ${name} ${version}\n\n${text.trim()}\n`;
}
