import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type DefaultTheme, defineConfig, type UserConfig } from "vitepress";
import { writeLlms } from "./llms.ts";
import { type Page, readGroups, readOthers, readPage } from "./pages.ts";
import { miniSearch } from "./search.ts";

const REPOSITORY = "https://github.com/messagedb-client/messagedb-client";
const BASE = "/messagedb-client/";
const ORIGIN = `https://messagedb-client.github.io${BASE}`;
const API = "reference/api/";

const config: UserConfig<DefaultTheme.Config> = defineConfig({
  title: "@messagedb/client",
  description: readPage("index.md").description,
  lang: "en",
  base: BASE,
  cleanUrls: true,
  srcExclude: ["README.md"],
  head: [["link", { rel: "icon", href: `${BASE}favicon.svg`, type: "image/svg+xml" }]],
  sitemap: { hostname: ORIGIN },
  // The index of the search is one chunk, which is loaded when somebody searches.
  vite: { build: { chunkSizeWarningLimit: 2000 } },
  markdown: {
    // In those that come with VitePress, comments are too faint: here they say what a line answers.
    theme: { light: "github-light-high-contrast", dark: "github-dark-default" },
    anchor: { slugify },
    // `/streams/{streamName}` in a heading is text.
    attrs: { disable: true },
    config(markdown) {
      const fence = markdown.renderer.rules.fence!;
      // ```ts [src/main.ts]: the name of the file stands above the block.
      markdown.renderer.rules.fence = (...args) => {
        const [tokens, at] = args;
        const [, name] = /\[(.+)\]/.exec(tokens[at]!.info) ?? [];
        const html = fence(...args);
        if (!name) return html;
        return `<div class="file"><p>${markdown.utils.escapeHtml(name)}</p>${html}</div>`;
      };
      // A wide table scrolls by itself, and not the page with it.
      markdown.renderer.rules.table_open = () => '<div class="table" tabindex="0"><table>\n';
      markdown.renderer.rules.table_close = () => "</table></div>\n";
    },
  },
  themeConfig: {
    nav: [
      { text: "Start", link: "/start/node", activeMatch: "/start/" },
      { text: "Tutorial", link: "/tutorial/", activeMatch: "/tutorial/" },
      { text: "Guides", link: "/guides/read-models", activeMatch: "/guides/" },
      { text: "Operate", link: "/operate/deploy", activeMatch: "/operate/" },
      { text: "API", link: `/${API}`, activeMatch: `/${API}` },
    ],
    sidebar: {
      "/": [
        ...readGroups().map(({ text, pages }): DefaultTheme.SidebarItem => ({
          text,
          collapsed: text !== "Start",
          items: [
            ...pages.map(itemOf),
            ...text === "Reference" ? [{ text: "API", link: `/${API}` }] : [],
          ],
        })),
        ...readOthers().map(itemOf),
      ],
      [`/${API}`]: [{ text: "API", link: `/${API}`, items: readApi() }],
    },
    outline: [2, 3],
    search: {
      provider: "local",
      options: { miniSearch },
    },
    socialLinks: [{ icon: "github", link: REPOSITORY }],
    editLink: {
      pattern: `${REPOSITORY}/edit/main/docs/:path`,
      text: "Edit this page on GitHub",
    },
    externalLinkIcon: true,
  },
  transformPageData(page) {
    if (page.relativePath.startsWith(API)) {
      return { frontmatter: { ...page.frontmatter, editLink: false } };
    }
    return { description: readPage(page.relativePath).description };
  },
  buildEnd({ outDir, pages }) {
    writeLlms(outDir, ORIGIN, pages.filter((page) => page.startsWith(API)).sort());
  },
});

export default config;

function itemOf({ path, title }: Page): DefaultTheme.SidebarItem {
  const text = title.replaceAll(/[<&]/g, (it) => it === "<" ? "&lt;" : "&amp;")
    .replaceAll(/`([^`]+)`/g, "<code>$1</code>");
  return { text, link: `/${path.replace(/(index)?\.md$/, "")}` };
}

/** What typedoc has made; nothing where it has not run. */
function readApi(): DefaultTheme.SidebarItem[] {
  const file = fileURLToPath(new URL(`../${API}typedoc-sidebar.json`, import.meta.url));
  return existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : [];
}

/** The anchor of a heading, as GitHub makes it: a link works on both. */
function slugify(heading: string): string {
  return heading.trim().toLowerCase().replaceAll(/[^\p{L}\p{N}_\- ]/gu, "").replaceAll(" ", "-");
}
