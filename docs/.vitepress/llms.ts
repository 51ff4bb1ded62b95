/** Makes llms.txt, which lists the pages for programs that read, and llms-full.txt, which has them all. */
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";
import { type Page, readGroups, readOthers, readPage } from "./pages.ts";

/** Beside the HTML of a page lies its Markdown, which these link to. */
export function writeLlms(
  folder: string,
  origin: string,
  generated: readonly string[],
): void {
  const front = readPage("index.md");
  const groups = [...readGroups(), { text: "More", pages: readOthers() }];
  const pages = groups.flatMap((group) => group.pages);
  const link = ({ path, title, description }: Page) =>
    `- [${title}](${origin}${path}): ${description}`;
  const sections = groups.map((group) =>
    [`## ${group.text}`, "", ...group.pages.map(link), ""].join("\n")
  );
  const names = generated.map((path) =>
    `- [${path.slice("reference/api/".length, -".md".length)}](${origin}${path})`
  );
  writeFileSync(
    join(folder, "llms.txt"),
    [
      `# ${front.title}`,
      "",
      `> ${front.description}`,
      "",
      `All pages in one file: ${origin}llms-full.txt`,
      "",
      ...sections,
      "## Optional",
      "",
      ...names,
      "",
    ].join("\n"),
  );
  writeFileSync(
    join(folder, "llms-full.txt"),
    [front, ...pages].map((page) => absolute(page, origin)).join("\n\n---\n\n"),
  );
  for (const path of ["index.md", ...pages.map((page) => page.path), ...generated]) {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    copyFileSync(fileURLToPath(new URL(`../${path}`, import.meta.url)), join(folder, path));
  }
}

/** The text of a page, with links that lead somewhere from anywhere. */
function absolute({ path, text }: Page, origin: string): string {
  return text.replaceAll(/\]\((?!https?:)([^)\s]+)\)/g, (_, link: string) => {
    const [to, anchor] = link.split("#") as [string, string?];
    const target = to === "" ? path : posix.join(posix.dirname(path), to);
    return `](${origin}${target}${anchor === undefined ? "" : `#${anchor}`})`;
  });
}
