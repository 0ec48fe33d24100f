/** What the tab of the browser shows: title and a drawn icon. */

import { kind } from "./states.js";

const COLOURS = { live: "#1f6fb8", good: "#1f6fb8", bad: "#c8480b", wait: "#b27700", calm: "#748195" };
const MARKS = {
  good: "<path d='M10 16.5l4.2 4.2L22 12' fill='none' stroke='#fff' stroke-width='3.2'/>",
  bad: "<path d='M16 9v9M16 21.5v2' stroke='#fff' stroke-width='3.4'/>",
  wait: "<path d='M12.5 10v12M19.5 10v12' stroke='#fff' stroke-width='3.4'/>",
};
let shown = "";

/** The title of the page. */
export function setTitle(...words) {
  const title = [...words.filter(Boolean), "batchq"].join(" · ");
  if (document.title !== title) document.title = title;
}

/**
 * The icon of the page.
 * @param {string} state of a batch; empty for none.
 * @param {number} share of it that is done, 0 to 1.
 */
export function setIcon(state = "", share = 0) {
  const tone = state ? kind(state) : "calm";
  const round = 2 * Math.PI * 11;
  const done = (Math.floor(share * 20) / 20) * round; // in steps: an icon that changes at each tick flickers
  const ring = `<circle cx='16' cy='16' r='11' fill='none' stroke='${COLOURS.live}' stroke-opacity='.25' stroke-width='6'/>
    <circle cx='16' cy='16' r='11' fill='none' stroke='${COLOURS.live}' stroke-width='6'
    stroke-dasharray='${done.toFixed(1)} ${round.toFixed(1)}' transform='rotate(-90 16 16)'/>`;
  const disc = `<circle cx='16' cy='16' r='15' fill='${state ? COLOURS[tone] : COLOURS.live}'/>${MARKS[tone] ?? MARKS.good}`;
  const drawing = tone === "live" ? ring : disc;
  const url = `data:image/svg+xml,${encodeURIComponent(`<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 32 32'>${drawing}</svg>`)}`;
  if (url !== shown) {
    shown = url;
    document.getElementById("icon").href = url;
  }
}
