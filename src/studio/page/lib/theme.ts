import { type Shared, shared } from "./store.ts";

export type Theme = "system" | "light" | "dark";

const KEY = "messagedb-studio-theme";

export const theme: Shared<Theme> = shared<Theme>(remembered());

export function setTheme(chosen: Theme): void {
  document.documentElement.dataset["theme"] = chosen;
  try {
    localStorage.setItem(KEY, chosen);
  } catch {
    // The browser keeps nothing: the theme is of this page alone.
  }
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
