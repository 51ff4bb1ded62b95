/** Makes the pages of docs/reference/api out of the documentation in the source. */
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import {
  Application,
  type Comment,
  type CommentDisplayPart,
  CommentTag,
  Converter,
  type DeclarationReflection,
  type ProjectReflection,
  ReflectionKind,
} from "typedoc";

const pathOf = (file: string): string => fileURLToPath(new URL(`../../${file}`, import.meta.url));

/** A page of its own for each name, in a folder for each entry of the package. */
export async function writeApi(): Promise<void> {
  const manifest: { readonly name: string; readonly exports: Readonly<Record<string, string>> } =
    JSON.parse(readFileSync(pathOf("deno.json"), "utf8"));
  const entries = Object.entries(manifest.exports);
  const options = {
    plugin: ["typedoc-plugin-markdown", "typedoc-vitepress-theme"],
    tsconfig: pathOf("tsconfig.json"),
    entryPoints: entries.map(([, file]) => pathOf(file)),
    out: pathOf("docs/reference/api"),
    docsRoot: pathOf("docs"),
    name: manifest.name,
    readme: "none",
    entryFileName: "index",
    preservedTypeAnnotationTags: ["@throws"],
    // The tests compile every file.
    skipErrorChecking: true,
    logLevel: "Error",
    gitRevision: "main",
    sourceLinkTemplate:
      "https://github.com/messagedb-client/messagedb-client/blob/{gitRevision}/{path}#L{line}",
    disableGit: true,
    basePath: pathOf("."),
    hidePageHeader: true,
    useCodeBlocks: true,
    expandParameters: true,
    expandObjects: true,
    parametersFormat: "table",
    interfacePropertiesFormat: "table",
    typeDeclarationFormat: "table",
    tableColumnSettings: { hideSources: true, hideInherited: true, hideOverrides: true },
    pageTitleTemplates: {
      index: ({ projectName }: { readonly projectName: string }) => projectName,
      module: ({ name }: { readonly name: string }) =>
        name === "client" ? manifest.name : `${manifest.name}/${name}`,
      member: ({ name }: { readonly name: string }) => name,
    },
    sidebar: { autoConfiguration: true, pretty: false },
  };
  const app = await Application.bootstrapWithPlugins(options as object);
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    const modules = project.getReflectionsByKind(ReflectionKind.Module);
    for (const module of modules as DeclarationReflection[]) {
      const file = module.sources?.[0]?.fullFileName ?? "";
      const entry = entries.find(([, path]) => pathOf(path) === file);
      // "client" is the front door; "fetch" and so on are the subpaths.
      if (entry) module.name = entry[0] === "." ? "client" : entry[0].slice("./".length);
    }
  });
  app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
    for (const reflection of Object.values(project.reflections)) {
      if (reflection.comment) listErrors(reflection.comment, project);
    }
  });
  const project = await app.convert();
  if (!project) throw new Error("Cannot make the pages of the source's documentation");
  await app.generateOutputs(project);
  if (app.logger.hasErrors()) {
    throw new Error("Cannot make the pages of the source's documentation");
  }
}

/** Makes one list of all `@throws {Class} If …`, with links to the classes. */
function listErrors(comment: Comment, project: ProjectReflection): void {
  const isThrows = ({ tag }: CommentTag) => tag === "@throws";
  const throws = comment.blockTags.filter(isThrows);
  if (throws.length === 0) return;
  const classes = project.getReflectionsByKind(ReflectionKind.Class);
  const items = throws.flatMap(({ typeAnnotation, content }): CommentDisplayPart[] => {
    const name = typeAnnotation?.replaceAll(/[{}]/g, "") ?? "Error";
    const target = classes.find((it) => it.name === name);
    return [
      { kind: "text", text: "- " },
      target
        ? { kind: "inline-tag", tag: "@link", text: name, target }
        : { kind: "code", text: `\`${name}\`` },
      { kind: "text", text: ": " },
      ...content,
      { kind: "text", text: "\n" },
    ];
  });
  comment.blockTags = [
    ...comment.blockTags.filter((tag) => !isThrows(tag)),
    new CommentTag("@throws", items),
  ];
}
