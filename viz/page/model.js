// What is in the graph, and what of it can be seen: groups are open or folded, a folded one is a single box.
// A *thing* is a node, 0 ... n-1, or the group number g as n + g.

const START = 120; // boxes: so many are seen at first, if groups can be folded,
const MOST = 5000; // and so many if all is to be unfolded: more take a browser long, and show nothing

class Model {
  constructor({ texts, boxes, arrows, frames }) {
    const lines = (numbers) => numbers.map((i) => texts[i]);
    this.boxes = boxes.map(([key, look, marks, bold, group, shown, hover]) => ({
      key, look, marks, bold, group, lines: lines(shown), hover: lines(hover),
    }));
    this.frames = frames.map(([key, look, outer, shown]) => ({ key, look, outer, lines: lines(shown), hover: lines(shown) }));
    this.arrows = arrows.map(([source, target, label, width, carried, hover]) => (
      { source, target, label, width, carried, hover }));
    this.n = boxes.length;
    this.open = frames.map(() => false);
    this.countContents();
    this.openSome(START);
  }

  /** Counts what is directly in each group, and finds its first node and how deep it is. */
  countContents() {
    for (const frame of this.frames) Object.assign(frame, { contents: 0, first: Infinity });
    this.boxes.forEach(({ group }, node) => {
      if (group < 0) return;
      this.frames[group].contents++;
      this.frames[group].first = Math.min(this.frames[group].first, node);
    });
    for (const frame of [...this.frames].reverse()) { // the inner before the outer
      if (frame.outer < 0) continue;
      const outer = this.frames[frame.outer];
      outer.contents++;
      outer.first = Math.min(outer.first, frame.first);
    }
    for (const frame of this.frames) frame.depth = frame.outer < 0 ? 0 : this.frames[frame.outer].depth + 1;
  }

  /** Folds all groups, then opens the outer ones first, as long as no more than `most` boxes are seen. */
  openSome(most) {
    this.open.fill(false);
    let seen = this.boxes.filter(({ group }) => group < 0).length + this.frames.filter(({ outer }) => outer < 0).length;
    const byDepth = this.frames.map((_, g) => g).sort((a, b) => this.frames[a].depth - this.frames[b].depth || a - b);
    for (const g of byDepth) {
      const { outer, contents } = this.frames[g];
      if ((outer >= 0 && !this.open[outer]) || seen - 1 + contents > most) continue;
      this.open[g] = true;
      seen += contents - 1;
    }
  }

  isGroup(thing) {
    return thing >= this.n;
  }

  isOpen(thing) {
    return this.isGroup(thing) && this.open[thing - this.n];
  }

  of(thing) {
    return this.isGroup(thing) ? this.frames[thing - this.n] : this.boxes[thing];
  }

  /** The number of the group around a thing, -1 for none. */
  around(thing) {
    return this.isGroup(thing) ? this.of(thing).outer : this.of(thing).group;
  }

  /** The box in which a thing is seen: itself, or the outermost folded group around it; of an open group the first. */
  seenAs(thing) {
    if (this.isOpen(thing)) return this.seenAs(this.of(thing).first);
    let seen = thing;
    for (let g = this.around(thing); g >= 0; g = this.frames[g].outer) if (!this.open[g]) seen = this.n + g;
    return seen;
  }

  /** Opens all groups around a thing, so that it is a box itself. */
  reveal(thing) {
    for (let g = this.around(thing); g >= 0; g = this.frames[g].outer) this.open[g] = true;
  }

  /** What reads a thing, or what it reads: nodes, in order; of a group those outside of it. */
  neighbours(thing, side) {
    const other = side === "source" ? "target" : "source";
    const inside = (node) => node === thing || (this.isGroup(thing) && this.isIn(node, thing - this.n));
    const found = this.arrows.filter((arrow) => inside(arrow[other]) && !inside(arrow[side]));
    return [...new Set(found.map((arrow) => arrow[side]))];
  }

  isIn(node, group) {
    let g = this.boxes[node].group;
    while (g >= 0 && g !== group) g = this.frames[g].outer;
    return g === group;
  }

  /** All things of which a text matches, in order: the title of a node, the name of a group that has one. */
  search(text) {
    const wanted = text.trim().toLowerCase();
    if (!wanted) return [];
    const things = [...this.boxes.keys(), ...this.frames.map((_, g) => this.n + g)];
    const first = (thing) => (this.isGroup(thing) ? this.of(thing).first - 0.5 : thing);
    return things
      .filter((thing) => !(this.isGroup(thing) && this.of(thing).look === "part"))
      .filter((thing) => (this.of(thing).lines[0] ?? "").toLowerCase().includes(wanted))
      .sort((a, b) => first(a) - first(b) || a - b);
  }

  /** {things, frames, within, outer, arrows}: the boxes seen, the open groups around them, and edges between boxes. */
  seen() {
    const place = new Map(), seenAs = this.boxes.map((_, node) => this.seenAs(node));
    for (const thing of seenAs) if (!place.has(thing)) place.set(thing, place.size);
    const things = [...place.keys()];
    const frames = this.frames.flatMap((_, g) => (this.isSeenOpen(g) ? [g] : []));
    const number = new Map(frames.map((g, i) => [g, i]));
    return {
      things,
      frames,
      within: things.map((thing) => number.get(this.around(thing)) ?? -1),
      outer: frames.map((g) => number.get(this.frames[g].outer) ?? -1),
      arrows: this.seenArrows(seenAs, place),
    };
  }

  isSeenOpen(group) {
    for (let g = group; g >= 0; g = this.frames[g].outer) if (!this.open[g]) return false;
    return true;
  }

  /** Edges between boxes; those from or to a folded group that go the same way are one. */
  seenArrows(seenAs, place) {
    const arrows = [], merged = new Map();
    for (const arrow of this.arrows) {
      const a = seenAs[arrow.source], b = seenAs[arrow.target], key = `${a} ${b}`;
      if (a === b && a !== arrow.source) continue;
      const one = { ...arrow, from: place.get(a), to: place.get(b), count: 1 };
      const known = merged.get(key);
      if (!this.isGroup(a) && !this.isGroup(b)) arrows.push(one);
      else if (known) join(known, arrow);
      else arrows.push((merged.set(key, one), one));
    }
    return arrows;
  }
}

/** Adds an edge to one that goes the same way. */
function join(known, arrow) {
  known.count++;
  known.width = Math.max(known.width, arrow.width);
  known.carried = known.carried && arrow.carried;
  known.label = "";
  known.hover = `${known.count} edges`;
}
