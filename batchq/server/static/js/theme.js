/** Light, dark, or as the system has it. */

const KEY = "batchq.theme";
const system = matchMedia("(prefers-color-scheme: dark)");

/** Connects the choice in the header; whoever paints by hand hears of each change by `onThemeChange`. */
export function setUpTheme(select) {
  select.value = localStorage.getItem(KEY) ?? "";
  select.addEventListener("change", () => {
    if (select.value) {
      localStorage.setItem(KEY, select.value);
      document.documentElement.dataset.theme = select.value;
    } else {
      localStorage.removeItem(KEY);
      delete document.documentElement.dataset.theme;
    }
    document.dispatchEvent(new Event("themechange"));
  });
  system.addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
}

/** Calls `paint` at each change of colours; returns what ends that. */
export function onThemeChange(paint) {
  document.addEventListener("themechange", paint);
  return () => document.removeEventListener("themechange", paint);
}

/** A colour of the palette as it is now, for canvases. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}
