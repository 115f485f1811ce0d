// The kinds of plots, drawn by ECharts as SVG in the page's own colours. A plot knows numbers and what its series are
// called; what they mean is the figures' matter.

import { el, percent } from "./dom.js";
import { swatch } from "./marks.js";

const { echarts } = libraries;

// ECharts empties elements by innerHTML = ""; the page's policy lets through that text and no other.
globalThis.trustedTypes?.createPolicy("default", {
  createHTML(text) {
    if (text === "") return text;
    throw new TypeError("this page makes no HTML out of texts");
  },
});

const BAND_OPACITY = 0.13;
const FAINT_BAND = 0.08; // of many bands over each other
const FILLED = 3; // more histograms than these over each other are outlines
const HIGH = 0.5; // rates that all lie above this are drawn on an axis that doesn't begin at 0

const drawn = new Map(); // element -> its chart, as long as it is on the page

const sizes = new ResizeObserver((entries) => {
  for (const { target } of entries) if (target.clientWidth) (drawn.get(target)?.resize ?? target.draw)?.();
});

// An element with the plot that `make(theme)` describes; `clicked` gets what was clicked on.
function plot(label, make, clicked) {
  const node = el("div", { class: "plot", role: "img", "aria-label": label });
  node.draw = () => {
    const chart = echarts.init(node, null, { renderer: "svg" });
    drawn.set(node, { resize: () => chart.resize(), dispose: () => chart.dispose() });
    chart.setOption({ ...common(), ...make(theme()) });
    if (clicked) chart.on("click", clicked);
  };
  sizes.observe(node);
  return node;
}

// Let go of all plots below an element that is about to be emptied.
export function dispose(parent) {
  for (const [node, chart] of drawn) {
    if (!parent.contains(node)) continue;
    sizes.unobserve(node);
    chart.dispose();
    drawn.delete(node);
  }
}

function resolved(color) {
  const probe = document.body.appendChild(el("span", { style: { color, display: "none" } }));
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}

const theme = () => ({ quiet: resolved("var(--quiet)"), line: resolved("var(--line)"), ink: resolved("var(--ink)") });

const FONT = '"IBM Plex Sans", system-ui, sans-serif';

const common = () => ({
  animation: false,
  textStyle: { fontFamily: FONT },
  grid: {
    left: 4,
    right: 14,
    top: 14,
    bottom: 4,
    outerBoundsMode: "same",
    outerBounds: { left: 4, right: 10, top: 8, bottom: 6 },
  },
});

function axis({ quiet, line }, more) {
  return {
    axisLine: { show: more.type === "category", lineStyle: { color: line } },
    axisTick: { show: false },
    axisLabel: { color: quiet, fontSize: 12, fontFamily: FONT, ...more.label },
    splitLine: { show: more.type === "value", lineStyle: { color: line } },
    nameLocation: "middle",
    nameTextStyle: { color: quiet, fontSize: 12, fontFamily: FONT },
    nameGap: 26,
    ...more,
  };
}

// An axis for rates: from 0, or from below the lowest where all are high, in steps that end at its top.
function rateAxis(colors, values) {
  const known = values.filter((value) => typeof value === "number");
  const [low, high] = known.length ? [Math.min(...known), Math.max(...known)] : [0, 1];
  const from = low > HIGH ? low : 0;
  const interval = [0.02, 0.05, 0.1, 0.2].find((step) => (high - from) / step <= 5) ?? 0.2;
  const steps = (value, round) => round(Number((value / interval).toFixed(6))) * interval;
  const min = steps(from, Math.floor);
  const max = Math.min(1, Math.max(steps(high, Math.ceil), min + interval));
  return axis(colors, { type: "value", min, max, interval, label: { formatter: (rate) => percent(rate, 0) } });
}

const pointer = ({ line }) => ({ type: "line", lineStyle: { color: line, type: "solid", width: 1 }, z: 0 });

// What is shown beside the pointer: a heading, and for each series its mark, its name and what it says.
function tip(heading, rows) {
  return el(
    "div",
    { class: "tip" },
    el("b", {}, heading),
    rows.map((row) =>
      el(
        "div",
        {},
        swatch(row),
        el("span", {}, row.name),
        el("b", {}, row.value),
        row.more && el("small", {}, row.more),
      ),
    ),
  );
}

const tooltip = (colors, formatter, trigger = "axis") => ({
  trigger,
  formatter,
  confine: true,
  padding: 0,
  borderWidth: 0,
  backgroundColor: "transparent",
  extraCssText: "box-shadow:none",
  transitionDuration: 0,
  axisPointer: pointer(colors),
});

// Lines with bands. `lines`: {name, color, symbol, dashed, points: [{x, y, ci95, more}]}; `xs`: all x there are.
export function curves(label, { lines, xs, xName }) {
  const at = (x) => xs.indexOf(x);
  const values = lines.flatMap(({ points }) => points.flatMap(({ y, ci95 }) => [y, ...(ci95 ?? [])]));
  return plot(label, (colors) => ({
    xAxis: axis(colors, { type: "category", data: xs.map(String), name: xName, boundaryGap: xs.length === 1 }),
    yAxis: rateAxis(colors, values),
    tooltip: tooltip(colors, (shown) => {
      const x = xs[shown[0].dataIndex] ?? xs[shown[0].value[0]];
      const rows = lines.flatMap((line) =>
        line.points.filter((point) => point.x === x).map((point) => ({ ...line, ...point })),
      );
      return tip(
        `${xName} = ${x}`,
        rows.map((row) => ({ ...row, value: percent(row.y), more: row.more })),
      );
    }),
    series: lines.flatMap((line) => {
      const color = resolved(line.color);
      const banded = line.points.filter(({ ci95 }) => ci95);
      return [
        ...(banded.length > 1 && !line.dashed
          ? [
              band(
                banded.map(({ x, ci95 }) => [at(x), ...ci95]),
                color,
                lines.length > 2 ? FAINT_BAND : BAND_OPACITY,
              ),
            ]
          : []),
        ...(banded.length === 1
          ? [
              whiskers(
                banded.map(({ x, ci95 }) => [at(x), ...ci95]),
                color,
                0,
              ),
            ]
          : []),
        {
          type: "line",
          name: line.name,
          data: xs.map((x) => line.points.find((point) => point.x === x)?.y ?? null),
          symbol: line.symbol,
          symbolSize: xs.length > 20 ? 4 : 7,
          showAllSymbol: true,
          itemStyle: { color },
          lineStyle: { color, width: 2, type: line.dashed ? "dashed" : "solid" },
          emphasis: { disabled: true },
        },
      ];
    }),
  }));
}

function band(rows, fill, opacity) {
  return {
    type: "custom",
    data: [rows[0].slice(0, 2)],
    silent: true,
    tooltip: { show: false },
    renderItem: (_, api) => {
      const edge = (side) => rows.map((row) => api.coord([row[0], row[side]]));
      return {
        type: "polygon",
        shape: { points: [...edge(1), ...edge(2).reverse()] },
        style: { fill, opacity },
      };
    },
  };
}

function whiskers(rows, stroke, shift) {
  return {
    type: "custom",
    data: rows,
    encode: { x: 0, y: [1, 2] },
    silent: true,
    tooltip: { show: false },
    renderItem: (_, api) => {
      const [x, low] = api.coord([api.value(0), api.value(1)]);
      const [, high] = api.coord([api.value(0), api.value(2)]);
      return {
        type: "line",
        shape: { x1: x + shift, y1: low, x2: x + shift, y2: high },
        style: { stroke, lineWidth: 2, opacity: 0.45 },
      };
    },
  };
}

const DODGE = 9; // pixels between the marks of two series

// Points with intervals, the series beside each other. `groups`: {name, color, symbol, points: [{x, y, ci95, more}]}.
export function points(label, { groups, xs, xName }) {
  const values = groups.flatMap((group) => group.points.flatMap(({ y, ci95 }) => [y, ...(ci95 ?? [])]));
  const shift = (at) => (at - (groups.length - 1) / 2) * DODGE;
  return plot(label, (colors) => ({
    xAxis: axis(colors, { type: "category", data: xs.map(String), name: xName }),
    yAxis: rateAxis(colors, values),
    tooltip: tooltip(colors, (shown) => {
      const x = xs[shown[0].dataIndex];
      const rows = groups.flatMap((group) =>
        group.points.filter((point) => point.x === x).map((point) => ({ ...group, ...point })),
      );
      return tip(
        `${xName} ${x}`,
        rows.map((row) => ({ ...row, value: percent(row.y) })),
      );
    }),
    series: groups.flatMap((group, at) => {
      const color = resolved(group.color);
      const banded = group.points.filter(({ ci95 }) => ci95);
      return [
        whiskers(
          banded.map(({ x, ci95 }) => [xs.indexOf(x), ...ci95]),
          color,
          shift(at),
        ),
        {
          type: "line",
          name: group.name,
          data: xs.map((x) => group.points.find((point) => point.x === x)?.y ?? null),
          symbol: group.symbol,
          symbolSize: 8,
          symbolOffset: [shift(at), 0],
          showAllSymbol: true,
          itemStyle: { color },
          lineStyle: { width: 0 },
          emphasis: { disabled: true },
        },
      ];
    }),
  }));
}

// Columns beside each other. `groups`: {name, color, bars: [{y, more, id}]}, one bar for each of `xs`.
export function columns(label, { groups, xs, xName, clicked }) {
  return plot(
    label,
    (colors) => ({
      xAxis: axis(colors, { type: "category", data: xs.map(String), name: xName }),
      yAxis: axis(colors, { type: "value", min: 0, label: { formatter: (rate) => percent(rate, 0) } }),
      tooltip: tooltip(colors, (shown) => {
        const at = shown[0].dataIndex;
        return tip(
          `${xs[at]} right`,
          groups.map((group) => ({ ...group, value: percent(group.bars[at].y), more: group.bars[at].more })),
        );
      }),
      series: groups.map((group) => ({
        type: "bar",
        name: group.name,
        data: group.bars.map(({ y }) => y),
        itemStyle: { color: resolved(group.color), borderRadius: [2, 2, 0, 0] },
        barMaxWidth: 28,
        barGap: "15%",
        cursor: "pointer",
        emphasis: { disabled: true },
      })),
    }),
    ({ seriesIndex, dataIndex }) => clicked(groups[seriesIndex], xs[dataIndex]),
  );
}

const STEPS = [1, 2, 5];

// Histograms over each other. `shapes`: {name, color, edges, shares, more}; `format` writes a value of x.
export function histograms(label, { shapes, format, xName }) {
  const { edges } = shapes[0];
  const logarithmic =
    edges.length > 2 &&
    edges[0] > 0 &&
    edges[1] / edges[0] > 1.0001 &&
    edges.at(-1) / edges[0] > 20 &&
    isGeometric(edges);
  const ticks = logarithmic ? decades(edges[0], edges.at(-1)) : null;
  return plot(label, (colors) => ({
    xAxis: axis(colors, {
      type: logarithmic ? "log" : "value",
      min: edges[0],
      max: edges.at(-1),
      name: xName,
      splitLine: { show: false },
      axisLine: { show: true, lineStyle: { color: colors.line } },
      label: {
        formatter: format,
        hideOverlap: true,
        ...(ticks && { customValues: ticks }),
        showMinLabel: logarithmic,
        showMaxLabel: logarithmic,
      },
    }),
    yAxis: axis(colors, { type: "value", min: 0, label: { formatter: (rate) => percent(rate, 0) } }),
    tooltip: tooltip(colors, (shown) => {
      const at = Math.min(shown[0].dataIndex, edges.length - 2);
      const range = `${format(edges[at])} to ${format(edges[at + 1])}`;
      return tip(
        range,
        shapes.map((shape) => ({ ...shape, value: percent(shape.shares[at]), more: shape.more?.[at] })),
      );
    }),
    series: shapes.map(({ name, color, dashed, shares }) => ({
      type: "line",
      name,
      step: "end",
      data: edges.map((edge, at) => [edge, shares[Math.min(at, shares.length - 1)]]),
      showSymbol: false,
      symbol: "none",
      itemStyle: { color: resolved(color) },
      lineStyle: { width: 1.75, type: dashed ? "dashed" : "solid" },
      areaStyle: { opacity: shapes.length > FILLED ? 0 : BAND_OPACITY },
      emphasis: { disabled: true },
    })),
  }));
}

const isGeometric = (edges) => Math.abs(edges[1] / edges[0] - edges[2] / edges[1]) < 1e-6;

function decades(low, high) {
  const first = Math.floor(Math.log10(low));
  const powers = Array.from({ length: Math.ceil(Math.log10(high)) - first + 1 }, (_, at) => 10 ** (first + at));
  return powers.flatMap((power) => STEPS.map((step) => step * power)).filter((tick) => tick >= low && tick <= high);
}
