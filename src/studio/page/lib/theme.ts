import { type Shared, shared } from "./store.ts";

export type Theme = "system" | "light" | "dark";

const KEY = "messagedb-studio-theme";

export const theme: Shared<Theme> = shared<Theme>(remembered());

export function setTheme(chosen: Theme): void {
  show(chosen);
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // The browser keeps nothing: the theme is of this page alone.
  }
}

/** Shows the theme that was chosen last, here or in another tab. */
export function followTheme(): void {
  show(theme.get());
  // What has no key is that all was taken out.
  addEventListener("storage", ({ key }) => {
    if (key === KEY || key === null) show(remembered());
  });
}

function show(chosen: Theme): void {
  document.documentElement.dataset["theme"] = chosen;
  theme.set(chosen);
}

function remembered(): Theme {
  try {
    const value = localStorage.getItem(KEY);
    return value === "light" || value === "dark" ? value : "system";
  } catch {
    return "system";
  }
}
