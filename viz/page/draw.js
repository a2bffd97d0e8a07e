// The boxes, frames and edges that are seen as elements of SVG.

const TITLE = 12, SMALL = 10, LINE = 1.25;
const MARGIN = [9, 5];
const HEAD = [10, 6];
const FAMILY = 'Helvetica, Arial, "Liberation Sans", "Nimbus Sans", sans-serif';
const OPEN = "▾ ", FOLDED = "▸ ";

const canvas = document.createElement("canvas").getContext("2d");

/** An element of SVG. */
function element(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** How wide a line of text is in the font it will have. */
function textWidth(text, size, bold) {
  canvas.font = `${bold ? "bold " : ""}${size}px ${FAMILY}`;
  return canvas.measureText(text).width;
}

const isBold = (line, i, bold) => (i ? line.startsWith("! ") : bold);

/** [width, height] of a title and smaller lines below it. */
function textSize(lines, bold) {
  const widths = lines.map((line, i) => textWidth(line, i ? SMALL : TITLE, isBold(line, i, bold)));
  return [largest(widths, 12), LINE * (TITLE + SMALL * (lines.length - 1))];
}

/** The texts of a title and smaller lines, from `top` downwards. */
function textElements(lines, x, top, bold, anchor) {
  let y = top;
  return lines.map((line, i) => {
    const size = i ? SMALL : TITLE;
    y += LINE * size;
    const names = [i ? "" : "title", isBold(line, i, bold) ? "bold" : ""].join(" ").trim();
    return element("text", { x, y: y - 0.3 * size, "text-anchor": anchor, class: names }, line);
  });
}

/** The path through the corners of a route, upright at each of them. */
function curve(route) {
  const path = [`M${route[0][0]} ${route[0][1]}`];
  for (let i = 1; i < route.length; i++) {
    const [x, y] = route[i - 1], [endX, endY] = route[i], middle = (y + endY) / 2;
    path.push(x === endX ? `L${endX} ${endY}` : `C${x} ${middle} ${endX} ${middle} ${endX} ${endY}`);
  }
  return path.join("");
}

/** A picture of what is seen of a Model: its elements, and where everything is. */
class Picture {
  constructor(model) {
    this.model = model;
    this.seen = model.seen();
    const boxLines = this.seen.things.map((thing) => this.lines(thing));
    const sizes = boxLines.map((lines, i) => this.boxSize(this.seen.things[i], lines));
    const heads = this.seen.frames.map((g) => this.headSize(g));
    const edges = this.seen.arrows.map(({ from, to }) => [from, to]);
    const placed = layout(sizes, edges, this.seen.within, this.seen.outer, heads);
    this.size = placed.size;
    this.boxes = new Map(); // {thing: {element, x, y, width, height}}
    this.frames = new Map(); // {group: {element, heading, x, y, width, height}}
    this.seen.things.forEach((thing, i) => this.drawBox(thing, boxLines[i], placed.nodes[i], sizes[i]));
    this.seen.frames.forEach((g, i) => this.drawFrame(g, placed.groups[i]));
    this.edges = this.seen.arrows.map((arrow, i) => this.drawEdge(arrow, placed.routes[i]));
  }

  lines(thing) {
    const { lines } = this.model.of(thing);
    return this.model.isGroup(thing) ? [FOLDED + lines[0], ...lines.slice(1)] : lines;
  }

  boxSize(thing, lines) {
    const [width, height] = textSize(lines, this.isTitleBold(thing));
    return [width + 2 * MARGIN[0], height + 2 * MARGIN[1]];
  }

  headSize(g) {
    const [width, height] = textSize([OPEN + this.model.frames[g].lines[0], ...this.model.frames[g].lines.slice(1)], true);
    return [width + 2 * HEAD[0], height + 2 * HEAD[1]];
  }

  isTitleBold(thing) {
    return this.model.isGroup(thing) || Boolean(this.model.of(thing).bold);
  }

  drawBox(thing, lines, [x, y], [width, height]) {
    const { marks = [], look, hover } = this.model.of(thing), folded = this.model.isGroup(thing);
    const place = { x: -width / 2, y: -height / 2, width, height, rx: folded || look === "operation" ? 6 : 0 };
    const shapes = [element("rect", place)];
    if (folded || look === "group") {
      const again = { x: place.x + 3, y: place.y + 3, width: width - 6, height: height - 6, rx: 4, class: "again" };
      shapes.push(element("rect", again));
    }
    const made = element("g", {
      class: ["box", folded ? "group" : look, ...marks].join(" "),
      transform: `translate(${x} ${y})`,
      role: "button",
      tabindex: -1,
      "data-thing": thing,
      "aria-label": [...hover, ...(folded ? ["folded"] : [])].join(", "),
      ...(folded ? { "aria-expanded": false } : {}),
    }, ...shapes, ...textElements(lines, 0, -height / 2 + MARGIN[1], this.isTitleBold(thing), "middle"));
    this.boxes.set(thing, { element: made, x, y, width, height });
  }

  drawFrame(g, [x, y, width, height]) {
    const { look, lines } = this.model.frames[g];
    const texts = textElements([OPEN + lines[0], ...lines.slice(1)], x + HEAD[0], y + HEAD[1], true, "start");
    const heading = element("g", {
      class: "heading", role: "button", tabindex: -1, "data-group": g, "aria-expanded": true, "aria-label": lines.join(", "),
    }, ...texts);
    const made = element("g", { class: `frame ${look}` }, element("rect", { x, y, width, height, rx: 8 }));
    this.frames.set(g, { element: made, heading, x, y, width, height });
  }

  drawEdge(arrow, route) {
    if (!route.length) return { arrow, path: null, label: null };
    const path = element("path", {
      d: curve(route), class: arrow.carried ? "edge carried" : "edge", "stroke-width": arrow.width,
      "marker-end": arrow.width > 2 ? "url(#wide)" : "url(#head)",
    });
    if (arrow.hover) path.append(element("title", {}, arrow.hover));
    return { arrow, path, label: arrow.label ? this.drawLabel(arrow, route) : null };
  }

  /** The label of an edge beside its end, outside of the box and on the side where no other end is. */
  drawLabel({ label, to, width }, route) {
    const [[, before], [x, y]] = route.slice(-2);
    const first = x < this.boxes.get(this.seen.things[to]).x, away = 3 + width;
    const place = { x: first ? x - away : x + away, y: before < y ? y - 6 : y + 12, "text-anchor": first ? "end" : "start", class: "label" };
    return element("text", place, label);
  }

  /** All elements, from the back to the front. */
  elements() {
    const frames = [...this.frames.values()], boxes = [...this.boxes.values()];
    return [
      ...frames.map((frame) => frame.element),
      ...this.edges.flatMap(({ path }) => path ?? []),
      ...frames.map((frame) => frame.heading),
      ...boxes.map((box) => box.element),
      ...this.edges.flatMap(({ label }) => label ?? []),
    ];
  }

  /** The box nearest to `thing` at its left (-1) or right (1), in the same row if there is one. */
  beside(thing, direction) {
    const here = this.boxes.get(thing);
    let best = null, least = Infinity;
    for (const [other, box] of this.boxes) {
      const across = (box.x - here.x) * direction, apart = Math.abs(box.y - here.y);
      if (across <= 0 || apart + across / 4 >= least) continue;
      [best, least] = [other, apart + across / 4];
    }
    return best;
  }
}
