// Events a second by type, stacked. uPlot draws; the legend is ours, so that it can be read and used without a mouse.

/* global uPlot */
import * as api from './api.js';
import {attribute, fill, h, keyed, show, text} from './dom.js';
import {brief, clock, rate} from './format.js';

const HEIGHT = 220;

/**
 * The same rates in steps that are at least three pixels wide, which can be told apart. A step begins at a multiple of its
 * length, so that the values of one that is over stay the same.
 */
function coarser({start, step_seconds: step, series}, width) {
  const steps = series[0]?.values.length ?? 0;
  const factor = Math.max(1, Math.ceil(steps * 3 / width));
  const first = Math.floor(start / step / factor);
  const of = i => Math.floor((start / step + i) / factor) - first;
  const join = values => {
    const joined = [];
    values.forEach((value, i) => (joined[of(i)] ??= []).push(value ?? 0));
    return joined.map(part => part.reduce((a, b) => a + b, 0) / part.length);
  };
  return {start: first * factor * step, step_seconds: step * factor, series: series.map(s => ({...s, last: s.values.at(-1), values: join(s.values)}))};
}

export class RateChart {
  /** Events a second of all types, in the last step. */
  now = null;
  /** The same on average over the time shown. */
  mean = null;
  #minutes;
  #plot = null;
  #hidden = new Set();
  /** The rates as they came, and in the steps that are drawn. */
  #fine = null;
  #rates = null;
  #box = h('div', {class: 'chart-box', role: 'img'});
  #time = h('span', {class: 'note chart-time'});
  #none = h('p', {class: 'chart-none muted', hidden: true});
  #legend = h('ul', {class: 'legend', 'aria-label': 'Event types in the chart'});
  #index = null;
  #closed = false;
  #loaded = null;
  #due = 0;
  #dark = matchMedia('(prefers-color-scheme: dark)');
  #redraw = () => this.#draw(true);
  #resize = new ResizeObserver(() => {
    this.#plot?.setSize({width: this.#box.clientWidth, height: HEIGHT});
    if (this.#fine) this.#fit();
  });

  /** A chart of the last `minutes()` minutes. */
  constructor(minutes) {
    this.#minutes = minutes;
    this.node = h('div', {class: 'chart'}, h('div', {class: 'chart-area'}, this.#box, this.#none), this.#time, this.#legend);
    this.#dark.addEventListener('change', this.#redraw);
    this.#resize.observe(this.#box);
  }

  /** Asks for the figures and shows them. */
  async load() {
    const minutes = this.#minutes();
    // A day has thousands of steps: they are asked for when there is a new one.
    if (minutes === this.#loaded && Date.now() < this.#due) return;
    const rates = await api.get(`rates?minutes=${minutes}`);
    if (minutes !== this.#minutes()) return;
    this.#loaded = minutes;
    this.#due = Date.now() + rates.step_seconds * 500;
    const steps = rates.series[0]?.values.length ?? 0;
    const sums = Array.from({length: steps}, (_, i) => rates.series.reduce((sum, s) => sum + (s.values[i] ?? 0), 0));
    this.now = sums.at(-1) ?? 0;
    this.mean = steps ? sums.reduce((a, b) => a + b, 0) / steps : 0;
    this.#fine = rates;
    this.#fit();
    const silent = sums.every(n => n === 0);
    show(this.#none, silent);
    fill(this.#none, silent, () => silent && 'No events in this time.');
    attribute(this.#box, 'aria-label', `Events per second by type, in this time: ${rate(this.now)} now, ${rate(this.mean)} on average, ${rate(Math.max(0, ...sums))} at most`);
  }

  close() {
    this.#closed = true;
    this.#dark.removeEventListener('change', this.#redraw);
    this.#resize.disconnect();
    this.#plot?.destroy();
    this.#plot = null;
  }

  /** Draws what is known in steps that fit. */
  #fit() {
    const fitting = coarser(this.#fine, this.#box.clientWidth || 600);
    // The values change with every step, the shape only with the time shown.
    const other = fitting.step_seconds !== this.#rates?.step_seconds || fitting.series.length !== this.#rates?.series.length;
    this.#rates = fitting;
    this.#draw(other);
  }

  /** The types shown, the times, and for each type the sum of it and those below it. */
  #stack() {
    const {start, step_seconds: step, series} = this.#rates;
    const shown = series.filter(s => !this.#hidden.has(s.key));
    const times = (series[0]?.values ?? []).map((_, i) => start + i * step);
    let below = times.map(() => 0);
    const sums = shown.map(s => (below = below.map((sum, i) => sum + (s.values[i] ?? 0))));
    return {shown, data: [times, ...sums]};
  }

  #draw(anew) {
    if (!this.#rates || this.#closed) return;
    const {shown, data} = this.#stack();
    if (this.#plot && !anew) {
      this.#plot.setData(data);
    } else {
      this.#plot?.destroy();
      this.#plot = new uPlot(this.#options(shown), data, this.#box);
      // It is drawn for eyes; the label of the box has the words.
      this.#plot.root.setAttribute('aria-hidden', 'true');
    }
    this.#showLegend();
  }

  #options(shown) {
    const style = getComputedStyle(this.#box);
    const color = name => style.getPropertyValue(name).trim();
    const axis = {stroke: color('--muted'), grid: {stroke: color('--line'), width: 1}, ticks: {show: false}, font: `12px ${style.fontFamily}`};
    return {
      width: this.#box.clientWidth || 600,
      height: HEIGHT,
      legend: {show: false},
      cursor: {y: false, drag: {x: false, y: false}, points: {show: false}},
      scales: {y: {range: (_, __, max) => [0, Math.max(4, max * 1.08)]}},
      axes: [
        {...axis, space: 70, size: 26, values: (_, splits) => splits.map(s => clock(s, true))},
        {...axis, size: 56, space: 40, values: (_, splits) => splits.map(rate)},
      ],
      series: [{}, ...shown.map(s => ({
        label: s.title,
        stroke: color(`--s-${s.key}`),
        fill: `${color(`--s-${s.key}`)}a6`,
        width: 0.5,
        points: {show: false},
      }))],
      bands: shown.slice(1).map((_, i) => ({series: [i + 2, i + 1]})),
      hooks: {setCursor: [plot => {
        const index = plot.cursor.idx ?? null;
        if (index === this.#index) return;
        this.#index = index;
        this.#showLegend();
      }]},
    };
  }

  /** The types with their rates at the cursor, or now. */
  #showLegend() {
    const {start, step_seconds: step, series} = this.#rates;
    text(this.#time, this.#index == null ? 'Now:' : `${brief(start + this.#index * step)}:`);
    keyed(this.#legend, series, s => s.key, s => {
      const value = h('span', {class: 'n'});
      const button = h('button', {type: 'button', onclick: () => {
        if (!this.#hidden.delete(s.key)) this.#hidden.add(s.key);
        this.#draw(true);
      }}, h('span', {class: 'swatch', 'data-key': s.key}), h('span', {class: 'legend-name'}, s.title), value);
      return {node: h('li', null, button), update: row => {
        attribute(button, 'aria-pressed', String(!this.#hidden.has(row.key)));
        text(value, `${rate(this.#index == null ? row.last : row.values[this.#index])}/s`);
      }};
    });
  }
}
