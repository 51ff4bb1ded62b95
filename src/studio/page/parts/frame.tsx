import type { ComponentChildren, JSX } from "preact";
import { markedText } from "../lib/marks.ts";
import { useNarrow } from "../lib/media.ts";
import { currentPlace, viewUrl } from "../lib/place.ts";
import { heartbeat } from "../lib/pulse.ts";
import { useOpened } from "../lib/rights.ts";
import { useValue } from "../lib/store.ts";
import { setTheme, theme } from "../lib/theme.ts";
import { AboutStore } from "./about_store.tsx";
import { ViewLink } from "./link.tsx";
import { Search } from "./search.tsx";

/** What is around each view: the search on top, the views at the left; on a phone, the views below. */
export function Frame(
  { children, showKeys }: {
    readonly children: ComponentChildren;
    readonly showKeys: () => void;
  },
): JSX.Element {
  return (
    <div class="frame">
      <a class="skip" href="#main">Skip to the content</a>
      <header class="top">
        <ViewLink url={viewUrl([])} class="brand" label="Studio, overview">Studio</ViewLink>
        <Search />
        <span class="grow" />
        <Beat />
        <ThemeSwitch />
        <button type="button" class="quiet keys-button" onClick={showKeys} aria-label="Keys">
          <kbd>?</kbd>
        </button>
      </header>
      <Navigation />
      <main id="main" tabIndex={-1}>{children}</main>
    </div>
  );
}

function Navigation(): JSX.Element {
  const { path } = useValue(currentPlace);
  const studio = useOpened();
  const isNarrow = useNarrow();
  const kind = path?.[0];
  const ofCategories = ["categories", "streams", "entities"];
  const ofAll = ["all", "messages", "trace"];
  return (
    <nav class="views" aria-label="Views">
      <ViewLink url={viewUrl([])} isCurrent={kind === undefined}>Overview</ViewLink>
      {!(studio && studio.partitions > 1) && (
        <ViewLink url={viewUrl(["all"])} isCurrent={ofAll.includes(kind!)}>All messages</ViewLink>
      )}
      <ViewLink url={viewUrl(["categories"])} isCurrent={ofCategories.includes(kind!)}>
        Categories
      </ViewLink>
      <ViewLink url={viewUrl(["consumers"])} isCurrent={kind === "consumers"}>Consumers</ViewLink>
      <span class="grow" />
      {!isNarrow && <AboutStore />}
    </nav>
  );
}

const REFUSALS: Readonly<Record<number, string>> = { 401: "Not logged in", 403: "Not allowed" };

/** Whether the store answers. */
function Beat(): JSX.Element {
  const { failure, pulse } = useValue(heartbeat);
  const text = failure ? REFUSALS[failure.status] ?? "No answer" : pulse ? "Live" : "Connecting";
  const kind = failure ? failure.status === 403 ? "" : "bad" : pulse ? "good" : "";
  return (
    <span class={`beat ${kind}`} title={failure && markedText(failure.detail, 1000)}>
      {text}
    </span>
  );
}

function ThemeSwitch(): JSX.Element {
  const chosen = useValue(theme);
  return (
    <label class="theme">
      <span class="sr">Theme</span>
      <select
        value={chosen}
        onChange={({ currentTarget }) => {
          const { value } = currentTarget;
          setTheme(value === "light" || value === "dark" ? value : "system");
        }}
      >
        <option value="system">System</option>
        <option value="light">Light</option>
        <option value="dark">Dark</option>
      </select>
    </label>
  );
}
