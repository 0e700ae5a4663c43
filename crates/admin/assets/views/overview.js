// The state of the whole server at a glance.

import * as api from '../api.js';
import {RateChart} from '../chart.js';
import {fill, h, icon, keyed, panel, show, table, text} from '../dom.js';
import {bytes, count, date, full, lag, number, rate, setTime, span, timeNode} from '../format.js';
import {command, complain, empty} from '../ui.js';
import {stateBadge} from './sensors.js';
import {position} from './sessions.js';

export const title = 'Overview';

function tile(name, href) {
  const value = h('span', {class: 'value'});
  const unit = h('span', {class: 'unit'});
  const note = h('p', {class: 'note'});
  const label = href ? h('a', {href}, name) : name;
  return {node: h('div', {class: 'tile'}, h('h2', null, label), h('p', null, value, ' ', unit), note), value, unit, note};
}

export function open() {
  const about = h('p', {class: 'muted about'});
  const warnings = h('ul', {class: 'warnings', 'aria-label': 'Warnings'});
  const tiles = {rate: tile('Events'), sessions: tile('Sessions', '#/sessions'), sensors: tile('Sensors', '#/sensors'), archive: tile('Archive')};

  const minutes = h('select', {'aria-label': 'Time shown', onchange: () => chart.load().catch(complain)},
    [[15, '15 minutes'], [60, '1 hour'], [360, '6 hours'], [1440, '24 hours']].map(([n, words]) => h('option', {value: n}, words)));
  minutes.value = '60';
  const chart = new RateChart(() => minutes.value);

  const sessions = table('Sessions', [['Client', ''], ['Position', 'w-l place-column'], ['Lag', 'n w-s'], ['Events/s', 'n w-s']]);
  sessions.node.classList.add('small');
  const noSessions = h('div', {class: 'place'});
  const sensors = table('Sensors', [['Device', ''], ['State', 'w-m'], ['Lag', 'n w-s'], ['Events/s', 'n w-s']]);
  sensors.node.classList.add('small');
  const noSensors = h('div', {class: 'place'});
  const archive = table('Archive', [['Domain', ''], ['Files', 'n w-s'], ['Size', 'n w-s'], ['Oldest event', 'w-l'], ['Newest event', 'w-l']]);
  const retention = h('p', {class: 'note'});
  const disk = h('meter', {min: 0, low: 0.8, high: 0.92, optimum: 0, max: 1, 'aria-label': 'Disk in use'});
  const diskWords = h('span');
  const diskLine = h('p', {class: 'disk'}, disk, diskWords);

  const node = h('div', {class: 'stack'}, about, warnings,
    h('div', {class: 'tiles'}, Object.values(tiles).map(t => t.node)),
    panel('Event rate', minutes, chart.node),
    h('div', {class: 'columns'},
      panel('Sessions', h('a', {href: '#/sessions'}, 'All'), sessions.node, noSessions),
      panel('Sensors', h('a', {href: '#/sensors'}, 'All'), sensors.node, noSensors)),
    panel('Archive', null, archive.node, diskLine, retention));

  function sessionRow(session) {
    const where = h('time');
    const cells = [h('span', {class: 'n'}), h('span', {class: 'n'})];
    const peer = h('span', {class: 'note'}, session.peer);
    const name = h('span', {class: 'name'});
    return {node: sessions.row(null, [name, peer], where, ...cells), update(s) {
      text(name, s.client ?? 'Not known yet');
      position(where, s);
      text(cells[0], s.second ? lag(s.lag_seconds) : '–');
      text(cells[1], rate(s.records_per_second));
    }};
  }

  function sensorRow(sensor) {
    const state = h('span');
    const cells = [h('span'), h('span')];
    return {node: sensors.row(null, [h('span', {class: 'name'}, sensor.name), h('span', {class: 'note'}, `device ${sensor.device}, ${sensor.kind}`)], state, ...cells), update(s) {
      fill(state, s.state, () => stateBadge(s.state));
      text(cells[0], lag(s.lag_seconds));
      text(cells[1], rate(s.events_per_second));
    }};
  }

  function archiveRow() {
    const cells = [h('span'), h('span'), h('span'), h('time'), h('time')];
    return {node: archive.row(null, ...cells), update(n) {
      text(cells[0], n.domain ?? `netmap ${n.netmap}`);
      text(cells[1], number(n.segments));
      text(cells[2], bytes(n.bytes));
      setTime(cells[3], n.first_second);
      setTime(cells[4], n.last_second);
    }};
  }

  function showArchive({netmaps, retention: kept, disk: space}) {
    keyed(archive.body, netmaps, n => n.netmap, archiveRow);
    const total = netmaps.reduce((sum, n) => sum + n.bytes, 0);
    const firsts = netmaps.map(n => n.first_second).filter(Boolean);
    const [size, unit] = bytes(total).split(' ');
    text(tiles.archive.value, size);
    text(tiles.archive.unit, unit);
    text(tiles.archive.note, firsts.length ? `since ${date(Math.min(...firsts))}` : 'no events yet');
    show(diskLine, space?.total > 0);
    if (space?.total > 0) {
      const used = 1 - space.free / space.total;
      if (Math.abs(disk.value - used) > 0.001) disk.value = used;
      text(diskWords, `${bytes(space.free)} of the disk's ${bytes(space.total)} are free (${Math.round(used * 100)} % in use)`);
    }
    const limits = [kept?.days && `older than ${count(kept.days, 'day')}`, kept?.bytes && `beyond ${bytes(kept.bytes)}`].filter(Boolean);
    text(retention, limits.length ? `Events ${limits.join(' or ')} are deleted by themselves, the oldest first.` : 'Nothing is deleted by itself. Set limits in settings.toml if the disk is not to fill up.');
  }

  return {
    node,
    close: () => chart.close(),
    async update(state) {
      fill(about, `${state.hostname} ${state.version} ${state.started} ${Math.floor((state.now - state.started) / 60)}`, () => [
        'Version ', state.version, ', listening on ', state.listen.join(', '), ', running for ', span(Math.max(60, state.now - state.started)), ' since ', timeNode(state.started, full), '.']);
      keyed(warnings, state.warnings, w => w, w => ({node: h('li', null, icon('warning'), h('span', null, w))}));
      show(warnings, state.warnings.length > 0);
      const [open, all, kept] = await Promise.all([api.get('sessions'), api.get('sensors'), api.get('archive'), chart.load()]);

      text(tiles.rate.value, rate(chart.now));
      text(tiles.rate.unit, 'per second');
      text(tiles.rate.note, state.paused ? 'held by the pause' : `${rate(chart.mean)} on average of ${minutes.selectedOptions[0].text}`);
      text(tiles.sessions.value, number(state.open));
      text(tiles.sessions.unit, 'open');
      text(tiles.sessions.note, `${number(state.accepted)} accepted, ${number(state.refused)} refused`);
      const running = all.sensors.filter(s => s.state === 'running').length;
      text(tiles.sensors.value, number(running));
      text(tiles.sensors.unit, `of ${number(all.sensors.length)} running`);
      const worst = Math.max(0, ...all.sensors.filter(s => s.state !== 'silent' && s.state !== 'stopped').map(s => s.lag_seconds ?? 0));
      text(tiles.sensors.note, all.sensors.length ? `greatest lag: ${lag(worst)}` : 'none yet');
      showArchive(kept);

      const byLag = [...open.sessions].sort((a, b) => (b.lag_seconds ?? 0) - (a.lag_seconds ?? 0)).slice(0, 6);
      keyed(sessions.body, byLag, s => s.number, sessionRow);
      show(sessions.node, byLag.length > 0);
      fill(noSessions, byLag.length > 0, () => byLag.length ? null : empty('Nobody is connected', 'Create a client, give its file to your collector or SIEM, and let it connect. To try it from here:', command('estreamer ssl-test localhost --pkcs12 CLIENT.pkcs12 -s all --extended')));
      keyed(sensors.body, all.sensors.slice(0, 6), s => s.id, sensorRow);
      show(sensors.node, all.sensors.length > 0);
      fill(noSensors, all.sensors.length > 0, () => all.sensors.length ? null : empty('No sensor has reported', 'Events come from Snort, Suricata or, to try it, from the simulator:', command('estreamer sensor simulate --home HOME --rate 100')));
    },
  };
}
