/** How the words of a search are looked up, in the browser and in the tests. */
interface MiniSearchOptions {
  readonly options: {
    readonly processTerm: (term: string) => string | null;
  };
  readonly searchOptions: {
    readonly fuzzy: (term: string) => number | false;
    readonly prefix: (term: string) => boolean;
    readonly boost: { readonly title: number; readonly titles: number; readonly text: number };
    readonly boostDocument: (id: string) => number;
  };
}

// VitePress hands these functions to the browser as text: they may use nothing but their argument.
export const miniSearch: MiniSearchOptions = {
  options: {
    // In "how far behind is my consumer" three words say what is meant.
    processTerm: (term) =>
      /^(an?|and|are|as|at|be|by|can|do|does|for|from|how|i|in|is|it|its|my|of|on|or|so|that|the|to|what|when|where|which|who|why|with|you|your)$/i
          .test(term)
        ? null
        : term.toLowerCase(),
  },
  searchOptions: {
    // One wrong letter in a long word. "lag" is not "log".
    fuzzy: (term) => term.length > 5 ? 1 : false,
    prefix: (term) => term.length > 2,
    // "titles" are those of the headings above: a page that has the word there would fill the list.
    boost: { title: 6, titles: 0.5, text: 1 },
    // A guide says more of a word than the page of a function that happens to have it in its text.
    boostDocument: (id) => id.includes("/reference/api/") ? 0.3 : 1,
  },
};
