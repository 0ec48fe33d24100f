/** Which page an address means: `#/`, `#/new`, `#/batches/ID`, `#/batches/ID/items/SEQ`, each with `?filters`. */

/** Where the address leads: path in parts, and the filters. */
export function place(hash = location.hash) {
  const [path, query = ""] = hash.replace(/^#/, "").split("?");
  const parts = path.split("/").filter(Boolean).map(plain);
  return { parts, query: new URLSearchParams(query) };
}

/** The address of a page. */
export function link(parts, query = {}) {
  const words = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${words ? `?${words}` : ""}`;
}

/** Puts the filters of this page into its address, without a step for the Back button. */
export function setQuery(query) {
  history.replaceState(null, "", link(place().parts, query));
}

/**
 * Shows the page of the address, now and whenever it changes.
 * @param choose from parts to `{key, open}`: pages of one key are the same page, which is told by `moved(place)`.
 * @param {HTMLElement} main where pages stand.
 */
export function startRouter(choose, main) {
  let current = null;
  const turn = () => {
    const where = place();
    const wanted = choose(where.parts);
    if (current?.key === wanted.key) return current.page.moved?.(where);
    const isFirst = current === null;
    current?.page.close?.();
    main.replaceChildren();
    scrollTo(0, 0);
    current = { key: wanted.key, page: wanted.open(main, where) };
    if (!isFirst) main.querySelector("h1")?.focus({ preventScroll: true });
  };
  addEventListener("hashchange", turn);
  turn();
}

function plain(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
