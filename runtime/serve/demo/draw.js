// Drawing: what the server found, as elements. Text is only ever set as text.

const SVG = "http://www.w3.org/2000/svg";
const LINE = "#2ee6d6";

// Matplotlib's inferno at nine places; between them a straight line is close enough to the eye.
const INFERNO = [
  [0, 0, 4], [31, 12, 72], [85, 15, 109], [136, 34, 106], [186, 54, 85], [227, 89, 51], [249, 140, 10], [249, 201, 50], [252, 255, 164],
];
// Twenty colours that stay apart side by side; more classes begin again, darker.
const CLASSES = [
  "#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#ff9da7", "#9c755f", "#bab0ac",
  "#1f5fbf", "#b85c00", "#a01c3a", "#117a76", "#2e6b1f", "#9a7d0a", "#6f3c86", "#c2185b", "#5d4037", "#607d8b",
];

export function element(name, content = [], properties = {}) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...[content].flat());
  return made;
}

export function bytes(text) {
  return Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
}

export function inferno(value) {
  const place = (value / 255) * (INFERNO.length - 1);
  const left = Math.min(Math.floor(place), INFERNO.length - 2);
  return INFERNO[left].map((start, i) => start + (INFERNO[left + 1][i] - start) * (place - left));
}

export function classColour(index) {
  const shade = 0.75 ** Math.floor(index / CLASSES.length);
  const hex = CLASSES[index % CLASSES.length];
  return [1, 3, 5].map((at) => Math.round(parseInt(hex.slice(at, at + 2), 16) * shade));
}

function css(colour) {
  return `rgb(${colour.join(" ")})`;
}

// A canvas with one pixel for each value; colour(i) gives red, green and blue.
function canvas(width, height, colour) {
  const made = element("canvas", [], {width, height});
  const context = made.getContext("2d");
  const data = context.createImageData(width, height);
  for (let i = 0; i < width * height; i++) {
    data.data.set(colour(i), 4 * i);
    data.data[4 * i + 3] = 255;
  }
  context.putImageData(data, 0, 0);
  return made;
}

export function picture({width, height, rgb}) {
  const values = bytes(rgb);
  return canvas(width, height, (i) => values.subarray(3 * i, 3 * i + 3));
}

// Less contrast than the image has, so that its brightness is not taken for the map's.
function grey({width, height, rgb}) {
  const values = bytes(rgb);
  return canvas(width, height, (i) => {
    const shade = 38 + (0.6 * (values[3 * i] + values[3 * i + 1] + values[3 * i + 2])) / 3;
    return [shade, shade, shade];
  });
}

function heat({rows, columns, bytes: packed}) {
  const values = bytes(packed);
  return canvas(columns, rows, (i) => inferno(values[i]));
}

function figure(drawn, title, caption) {
  return element("figure", [drawn, element("figcaption", [element("b", title), caption])]);
}

function number(value) {
  return String(Number(value.toPrecision(3)));
}

function percent(value) {
  return `${(100 * value).toFixed(1)} %`;
}

function classes(found) {
  const rows = found.top.flatMap(({label, score}, place) => {
    const bar = element("div", [], {className: "bar"});
    bar.style.width = `${100 * score}%`;
    const name = element("span", label, {className: place ? "label" : "label first"});
    return [name, bar, element("span", percent(score), {className: "number"})];
  });
  const how = found.softmax ? "softmax of the scores" : "probabilities, as the model gives them";
  return [element("div", rows, {className: "bars"}), element("p", `the best of ${found.of} classes; ${how}`)];
}

function mask(found, image) {
  const pixels = bytes(found.pixels);
  const stack = element("div", grey(image), {className: "stack wide"});
  const over = canvas(found.width, found.height, (i) => classColour(pixels[i]));
  over.className = "over";
  Object.assign(over.style, {inset: "0", width: "100%", height: "100%", opacity: "0.65"});
  stack.append(over);
  const rows = found.classes.flatMap(({index, label, share}) => {
    const swatch = element("i", [], {className: "swatch"});
    swatch.style.background = css(classColour(index));
    const bar = element("div", [], {className: "bar"});
    bar.style.width = `${100 * share}%`;
    return [element("span", [swatch, label], {className: "label"}), bar, element("span", percent(share), {className: "number"})];
  });
  return [stack, element("p", `the best of ${found.of} classes at each pixel`), element("div", rows, {className: "bars"})];
}

function shownPicture(found) {
  const stack = element("div", picture(found.image), {className: "stack wide"});
  return [stack, element("p", `black is ${number(found.low)}, white ${number(found.high)}`)];
}

function numbers(found) {
  const range = "low" in found ? `, from ${number(found.low)} to ${number(found.high)}` : "";
  const wrong = found.not_finite ? `; ${found.not_finite} values are not finite` : "";
  return [element("p", `${found.dtype} [${found.shape.join(", ")}]${range}${wrong}`)];
}

const KINDS = {classes, mask, picture: shownPicture, numbers};

export function output(found, image) {
  const heading = element("h2", element("code", found.name));
  const made = element("section", [heading, ...KINDS[found.kind](found, image)]);
  made.dataset.kind = found.kind;
  made.dataset.output = found.name;
  return made;
}

function svg(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function marks({mark, lines}) {
  const made = svg("svg", {viewBox: "0 0 1 1", preserveAspectRatio: "none"});
  for (const line of lines) {
    made.append(svg("polyline", {
      points: line.map((point) => point.join(",")).join(" "), fill: "none", stroke: LINE, "stroke-width": "1.5", "vector-effect": "non-scaling-stroke",
    }));
  }
  if (mark) {
    // A line of no length with a round end is a dot that keeps its form.
    const dot = {d: `M${mark[0]} ${mark[1]}h0`, "stroke-linecap": "round", "vector-effect": "non-scaling-stroke"};
    made.append(svg("path", {...dot, stroke: "black", "stroke-width": "9"}), svg("path", {...dot, stroke: LINE, "stroke-width": "7"}));
  }
  return made;
}

function bars(packed) {
  const values = bytes(packed);
  const high = 64;
  return canvas(values.length, high, (i) => {
    const value = values[i % values.length];
    const above = high - 1 - Math.floor(i / values.length);
    return above < 1 + ((high - 1) * value) / 255 ? inferno(40 + 0.7 * value) : [128, 128, 128];
  });
}

export function panel(found) {
  if (found.bars || found.matrix) {
    const stack = element("div", found.bars ? bars(found.bars) : heat(found.matrix), {className: "stack"});
    Object.assign(stack.firstChild.style, {width: "100%", aspectRatio: "1"});
    return figure(stack, found.title, found.caption);
  }
  const stack = element("div", found.heat ? grey(found.background) : picture(found.background), {className: "stack"});
  if (found.heat) {
    const [left, right, bottom, top] = found.extent;
    const over = heat(found.heat);
    over.className = "over";
    Object.assign(over.style, {
      left: `${100 * left}%`, top: `${100 * top}%`, width: `${100 * (right - left)}%`, height: `${100 * (bottom - top)}%`, opacity: "0.65",
    });
    stack.append(over);
  }
  stack.append(marks(found));
  return figure(stack, found.title, found.caption);
}
