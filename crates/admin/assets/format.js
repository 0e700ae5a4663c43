// Numbers, sizes and times as people read them. What is not known is a dash.

import {attribute, h, text} from './dom.js';

export const NONE = '–';
const whole = new Intl.NumberFormat('en', {maximumFractionDigits: 0});
const tenths = new Intl.NumberFormat('en', {minimumFractionDigits: 1, maximumFractionDigits: 1});

/** A count with thousands separators. */
export function number(value) {
  return value == null ? NONE : whole.format(value);
}

/** `3 clients`, `1 client`. */
export function count(value, one, many = `${one}s`) {
  return `${number(value)} ${value === 1 ? one : many}`;
}

/** Something per second, without unit. */
export function rate(value) {
  if (value == null) return NONE;
  return value > 0 && value < 9.95 ? tenths.format(value) : whole.format(value);
}

/** A size. */
export function bytes(value) {
  if (value == null) return NONE;
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let unit = 0;
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit > 0 && value < 99.95 ? tenths.format(value) : whole.format(value)} ${units[unit]}`;
}

/** A length of time in its two greatest units. */
export function span(seconds) {
  if (seconds == null) return NONE;
  const all = Math.max(0, Math.round(seconds));
  const parts = [[Math.floor(all / 86400), 'd'], [Math.floor(all / 3600) % 24, 'h'], [Math.floor(all / 60) % 60, 'min'], [all % 60, 's']];
  const first = parts.findIndex(([n]) => n > 0);
  if (first < 0) return '0 s';
  return parts.slice(first, first + 2).filter(([n], i) => i === 0 || n > 0).map(([n, unit]) => `${n} ${unit}`).join(' ');
}

const two = n => String(n).padStart(2, '0');

/** A local date. */
export function date(seconds) {
  const d = new Date(seconds * 1000);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}

/** A local time of day; with `short`, without seconds. */
export function clock(seconds, short) {
  const d = new Date(seconds * 1000);
  return `${two(d.getHours())}:${two(d.getMinutes())}${short ? '' : `:${two(d.getSeconds())}`}`;
}

/** The time in UTC, for titles. */
export function utc(seconds) {
  return `${new Date(seconds * 1000).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** Makes `node` a point in time: `how` gives its words, the title says it in UTC. */
export function setTime(node, seconds, how = full) {
  text(node, seconds == null ? NONE : how(seconds));
  attribute(node, 'title', seconds == null ? null : utc(seconds));
  attribute(node, 'datetime', seconds == null ? null : new Date(seconds * 1000).toISOString());
}

/** A new element that shows a time. */
export function timeNode(seconds, how) {
  const node = h('time');
  setTime(node, seconds, how);
  return node;
}

/** Date and time of day. */
export function full(seconds) {
  return `${date(seconds)} ${clock(seconds)}`;
}

/** The time of day, with the date if it is another day's. */
export function brief(seconds) {
  const today = date(Date.now() / 1000);
  return date(seconds) === today ? clock(seconds) : full(seconds);
}

/** How far behind something is, in words; up to two seconds nobody waits. */
export function lag(seconds) {
  if (seconds == null) return NONE;
  return seconds < 2 ? 'none' : span(seconds);
}
