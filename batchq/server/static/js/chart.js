/** One chart with its words: a heading, a summary, a legend, the numbers as a table for who cannot see the drawing. */

import { el, freshId, replace, setText } from "./dom.js";
import { clock, number } from "./format.js";
import { colour, onThemeChange } from "./theme.js";

const HEIGHT = 170;
const KINDS = ["good", "bad"];
const FONT = "12px system-ui, sans-serif";
const ROWS = 500;
const LEAST_STEPS = 16;
const LEAST_AXIS = 52;
const HALF_A_TIME = 36;
const NOTHING = "–";

let library = null;
/** The drawing library is loaded by the first chart, and by no other page. */
function loadLibrary() {
  library ??= import("/static/vendor/uplot/uPlot.esm.js").then((module) => module.default);
  return library;
}

export class Chart {
  #columns;
  #unit;
  #stacked;
  #kinds;
  #words;
  #data = null;
  #plot = null;
  #over = null;
  #closed = false;
  #summary = el("p", { class: "note" });
  #readout = el("p", { class: "note readout", "aria-hidden": "true" });
  #place = el("div", { class: "drawing", "aria-hidden": "true" });
  #table = el("tbody");
  #details;
  #resized;
  #unlisten;

  /**
   * @param {string} title
   * @param {Array<string>} columns of the table: what is counted along, then a series each.
   * @param {string} unit of the values.
   * @param {boolean} stacked series stand on one another.
   * @param {Array<string>} kinds colours of the palette, one a series.
   * @param {function(number): string} words for a value.
   */
  constructor(title, columns, { unit, stacked = false, kinds = KINDS, words = shown }) {
    this.#columns = columns;
    this.#unit = unit;
    this.#stacked = stacked;
    this.#kinds = kinds;
    this.#words = (value) => (value === null ? NOTHING : words(value));
    const id = freshId("chart");
    const keys = columns.slice(1).map((name, nth) => el("li", {}, el("span", { class: `key ${kinds[nth]}` }), name));
    const head = el("tr", {}, columns.map((name) => el("th", { scope: "col" }, name)));
    const table = el("table", { class: "numbers" }, el("thead", {}, head), this.#table);
    const box = el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": `Numbers: ${title}` }, table);
    this.#details = el("details", {}, el("summary", {}, "Numbers"), box);
    this.#details.addEventListener("toggle", () => this.#showTable());
    this.node = el("figure", { class: "card", "aria-labelledby": id },
      el("figcaption", {}, el("h3", { id }, title), this.#summary),
      keys.length > 1 ? el("ul", { class: "legend" }, keys) : null,
      this.#place, this.#readout, this.#details);
    this.#resized = new ResizeObserver(() => this.#fit());
    this.#resized.observe(this.#place);
    this.#unlisten = onThemeChange(() => this.#redraw());
  }

  close() {
    this.#closed = true;
    this.#unlisten();
    this.#resized.disconnect();
    this.#plot?.destroy();
  }

  /**
   * Shows other numbers.
   * @param {Array<number>} times seconds since 1970 of each step; without them steps stand side by side.
   * @param {number} step seconds of a step.
   * @param {Array<Array<?number>>} values a list for each series; null where there is none.
   * @param {Array<string>} labels of the steps.
   * @param {string} summary in words.
   */
  set({ times = null, step = 1, values, labels, summary }) {
    this.#data = { times, step, values, labels };
    setText(this.#summary, summary);
    this.#showTable();
    this.#draw();
  }

  #showTable() {
    if (!this.#details.open || !this.#data) return;
    const { values, labels } = this.#data;
    const rows = labels.slice(-ROWS).map((label, nth) => {
      const at = Math.max(0, labels.length - ROWS) + nth;
      return el("tr", {}, el("th", { scope: "row" }, label), values.map((series) => el("td", {}, this.#words(series[at]))));
    });
    replace(this.#table, rows);
  }

  #points() {
    const { times, values } = this.#data;
    const along = times ?? values[0].map((_, nth) => nth);
    if (!this.#stacked) return [along, ...values];
    // The taller stands behind the other one.
    return [along, values[0].map((value, nth) => value + values[1][nth]), values[0]];
  }

  async #draw() {
    const { times, values } = this.#data;
    const Plot = await loadLibrary();
    if (this.#closed || !this.#place.clientWidth) return;
    const shape = `${times === null} ${times ? "" : values[0].length}`;
    if (this.#plot && this.#place.dataset.shape === shape) return this.#plot.setData(this.#points());
    this.#plot?.destroy();
    this.#place.dataset.shape = shape;
    this.#plot = new Plot(this.#options(Plot), this.#points(), this.#place);
    return undefined;
  }

  #redraw() {
    this.#plot?.destroy();
    this.#plot = null;
    if (this.#data) this.#draw();
  }

  #fit() {
    const width = this.#place.clientWidth;
    if (!this.#plot) return this.#data && width ? this.#draw() : undefined;
    if (width && width !== this.#plot.width) this.#plot.setSize({ width, height: HEIGHT });
    return undefined;
  }

  #options(Plot) {
    const isTime = this.#data.times !== null;
    const kinds = this.#stacked ? [this.#kinds[1], this.#kinds[0]] : [this.#kinds[0]];
    const bars = Plot.paths.bars({ size: [isTime ? 1 : 0.82, 64, 1], align: isTime ? 1 : 0 });
    const series = kinds.map((kind) => ({ fill: colour(kind), stroke: colour(kind), width: 0, paths: bars, points: { show: false } }));
    const axis = { stroke: colour("soft"), font: FONT, grid: { show: false }, ticks: { stroke: colour("line"), size: 4 } };
    const grid = { stroke: colour("line"), width: 1 };
    return {
      width: this.#place.clientWidth,
      height: HEIGHT,
      padding: [8, isTime ? HALF_A_TIME : 10, 0, 0],
      legend: { show: false },
      cursor: { drag: { x: false, y: false }, points: { show: false }, y: false },
      scales: {
        x: { time: isTime, range: () => this.#range() },
        y: { range: (_, __, most) => [0, most > 0 ? most * 1.08 : 1] },
      },
      series: [{}, ...series],
      axes: [
        isTime ? { ...axis, size: 32, space: 90, values: (_, at) => at.map(clock) } : { ...axis, size: 32, space: 72, incrs: [1, 2, 5, 10, 20, 50], values: (_, at) => at.map((nth) => this.#data.labels[nth] ?? "") },
        { ...axis, grid, ticks: { show: false }, size: widthOf, values: (_, at) => at.map(this.#words) },
      ],
      hooks: { setCursor: [(plot) => this.#point(plot.cursor.idx)] },
    };
  }

  /** A whole step behind the last one, and never so narrow that one bar fills the chart. */
  #range() {
    const { times, step, values } = this.#data;
    if (times === null) return [-0.6, Math.max(values[0].length, 4) - 0.4];
    return [times[0], Math.max(times.at(-1) + step, times[0] + LEAST_STEPS * step)];
  }

  #point(at) {
    if (at === this.#over) return;
    this.#over = at;
    const { values, labels } = this.#data;
    if (at === null || at === undefined || labels[at] === undefined) return setText(this.#readout, "");
    const words = values.map((series, nth) => `${this.#columns[nth + 1].toLowerCase()} ${this.#words(series[at])}`);
    return setText(this.#readout, `${labels[at]}: ${words.join(", ")}${this.#unit === "items/s" ? " items/s" : ""}`);
  }
}

/** Room for the longest of these words beside an axis, and for what uPlot puts around it. */
function widthOf(plot, words, nth) {
  plot.ctx.font = plot.axes[nth].font[0];
  const widths = (words ?? []).map((each) => plot.ctx.measureText(each).width / devicePixelRatio);
  return Math.max(LEAST_AXIS, Math.ceil(Math.max(0, ...widths)) + 12);
}

function shown(value) {
  return number(value < 10 ? Math.round(value * 100) / 100 : Math.round(value));
}
