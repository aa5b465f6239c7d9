// Light, dark, or as the system has it. The choice is no secret and outlives the tab.
import { createStore } from "./store.ts";

export type Theme = "system" | "light" | "dark";
const THEMES: readonly Theme[] = ["system", "light", "dark"];
const STORAGE_KEY = "kombo-mirror.theme";

function stored(): Theme {
  try {
    const kept = localStorage.getItem(STORAGE_KEY);
    return THEMES.find((theme) => theme === kept) ?? "system";
  } catch {
    return "system";
  }
}

export const theme = createStore<Theme>(stored());

export function nextTheme(current: Theme): Theme {
  return THEMES[(THEMES.indexOf(current) + 1) % THEMES.length] ?? "system";
}

export function applyTheme(): void {
  const apply = (chosen: Theme) => {
    document.documentElement.dataset["theme"] = chosen;
    try {
      localStorage.setItem(STORAGE_KEY, chosen);
    } catch {
      // It holds until the page is left.
    }
  };
  document.documentElement.dataset["theme"] = theme.get();
  theme.watch(apply);
}
