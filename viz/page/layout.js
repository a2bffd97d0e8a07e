// A plain layered drawing of a graph: layout.py in JavaScript, from top to bottom. That file explains it, and what
// changes there changes here: a test compares the two. Numbers, their order and the order of sums are the same.

const GAP = 18, RANK_GAP = 30;
const BEND = 6;
const PAD = 12;
const ENDS = 14;
const TIGHTENINGS = 2, ORDERINGS = 8, PLACINGS = 8;
const LARGE = 5000, FEWER = 4;
const SAME = 1e-6;
const STRAIGHT = 4, YIELDING = 0.125;
const BENDS = 1;

/** {nodes: centres, groups: [left, top, width, height], routes: corners, size} of nodes of these [width, height]. */
function layout(sizes, edges, within, outer, heads) {
  return new Drawing(sizes, edges, within, outer, heads).layout();
}

/** Centres of things in a row, in this order and side by side, as near as can be to where they are wanted. */
function separate(wanted, sizes, weights) {
  if (wanted.length === 1) return [...wanted];
  const pools = [], offsets = [];
  let offset = 0;
  for (let i = 0; i < wanted.length; i++) {
    if (i) offset += (sizes[i - 1] + sizes[i]) / 2;
    offsets.push(offset);
    let total = (wanted[i] - offset) * weights[i], many = 1, mass = weights[i];
    while (pools.length && pools.at(-1).total * mass > total * pools.at(-1).mass) {
      const before = pools.pop();
      total = before.total + total;
      mass = before.mass + mass;
      many = before.many + many;
    }
    pools.push({ total, mass, many });
  }
  const starts = pools.flatMap(({ total, mass, many }) => Array(many).fill(total / mass));
  return starts.map((start, i) => start + offsets[i]);
}

const range = (n) => Array.from({ length: n }, (_, i) => i);
const lists = (n) => Array.from({ length: n }, () => []);
const largest = (numbers, start) => numbers.reduce((a, b) => Math.max(a, b), start);
const smallest = (numbers, start) => numbers.reduce((a, b) => Math.min(a, b), start);

// ----- the levels, and edges that cross their borders -----

/** All levels of a graph, and the way of each edge through them. */
class Drawing {
  constructor(sizes, edges, within, outer, heads) {
    this.n = sizes.length;
    this.root = outer.length;
    this.heads = heads;
    this.owner = [...within, ...outer].map((group) => (group < 0 ? this.root : group));
    this.levels = range(this.root + 1).map(() => new Level());
    this.depth = Array(this.root + 1).fill(0);
    outer.forEach((parent, group) => (this.depth[group] = parent < 0 ? 1 : this.depth[parent] + 1));
    this.sizes = [...sizes, ...outer.map(() => [0, 0])];
    this.arrange(edges);
    this.ways = edges.map(([source], i) => this.way(source, ...this.climbs[i]));
  }

  /** Makes every level's things its vertices, in an order that edges between them follow. */
  arrange(edges) {
    const things = lists(this.levels.length), arrows = new Map();
    for (const thing of this.byCreation()) things[this.owner[thing]].push(thing);
    this.climbs = [];
    for (const [source, target] of edges) {
      const climb = this.climb(source, target), tail = climb[0].at(-1);
      this.climbs.push(climb);
      if (source >= target) continue;
      if (!arrows.has(tail)) arrows.set(tail, []);
      arrows.get(tail).push(climb[1].at(-1));
    }
    this.place = Array(this.owner.length).fill(0);
    this.levels.forEach((level, i) => {
      level.things = sortedAlong(things[i], arrows);
      level.vertices = level.things.length;
      level.things.forEach((thing, place) => (this.place[thing] = place));
    });
  }

  /** All things, a group before the first node in it. */
  byCreation() {
    const met = new Set(), order = [];
    for (let node = 0; node < this.n; node++) {
      const chain = [node];
      while (this.owner[chain.at(-1)] !== this.root && !met.has(this.n + this.owner[chain.at(-1)])) {
        chain.push(this.n + this.owner[chain.at(-1)]);
      }
      chain.forEach((thing) => met.add(thing));
      order.push(...chain.reverse());
    }
    return order;
  }

  /** The two nodes, each with the groups around it up to the level where they are in the same one. */
  climb(source, target) {
    const up = [source], down = [target];
    for (;;) {
      const a = this.owner[up.at(-1)], b = this.owner[down.at(-1)];
      if (a === b) return [up, down];
      if (this.depth[a] >= this.depth[b]) up.push(this.n + a);
      else down.push(this.n + b);
    }
  }

  /** {flipped, way: [level, edge of it]}: an edge against the order of its level is laid out as its reverse. */
  way(source, up, down) {
    const way = [];
    if (up.at(-1) === down.at(-1)) return { flipped: false, way };
    const flipped = this.place[up.at(-1)] > this.place[down.at(-1)];
    if (flipped) [up, down] = [down, up];
    const value = 2 * source + (flipped ? 1 : 0);
    for (const inner of up.slice(0, -1)) {
      const level = this.levels[this.owner[inner]];
      way.push([this.owner[inner], level.edge(this.place[inner], level.port(value, true), value, false)]);
    }
    const top = this.owner[up.at(-1)], plain = up.length === 1 && down.length === 1;
    way.push([top, this.levels[top].edge(this.place[up.at(-1)], this.place[down.at(-1)], value, plain)]);
    for (const inner of down.slice(0, -1).reverse()) {
      const level = this.levels[this.owner[inner]];
      way.push([this.owner[inner], level.edge(level.port(value, false), this.place[inner], value, false)]);
    }
    return { flipped, way };
  }

  /** Lays out inner levels before outer ones, then puts all where the outer ones say. */
  layout() {
    for (let group = this.root - 1; group >= 0; group--) this.fit(group);
    this.lay(this.root);
    return this.placed();
  }

  lay(i) {
    const level = this.levels[i];
    const boxes = level.things.map((thing) => (thing >= this.n ? this.levels[thing - this.n] : null));
    level.lay(level.things.map((thing) => this.sizes[thing]), boxes);
  }

  /** Lays out a group's level, and gives the group its size. */
  fit(group) {
    this.lay(group);
    const level = this.levels[group], [width, height] = this.heads[group];
    const across = Math.max(width, level.width + 2 * PAD), along = height + level.height + PAD;
    level.indent = (across - level.width) / 2;
    level.head = height;
    level.foot = along - level.head - level.height;
    this.sizes[this.n + group] = [across, along];
    for (const [port, vertex] of level.ports) level.doors.set(port, level.x[vertex] + level.indent - across / 2);
  }

  /** The layout, from levels that are laid out. */
  placed() {
    const corner = Array(this.root + 1), groups = [];
    corner[this.root] = [PAD, PAD];
    for (let group = 0; group < this.root; group++) {
      const [x, y] = corner[this.owner[this.n + group]], level = this.levels[this.owner[this.n + group]];
      const place = this.place[this.n + group], [width, height] = this.sizes[this.n + group];
      const left = x + level.x[place] - width / 2, top = y + level.y[place] - height / 2;
      groups.push([left, top, width, height]);
      corner[group] = [left + this.levels[group].indent, top + this.levels[group].head];
    }
    const nodes = range(this.n).map((node) => {
      const [x, y] = corner[this.owner[node]], level = this.levels[this.owner[node]];
      return [x + level.x[this.place[node]], y + level.y[this.place[node]]];
    });
    const root = this.levels[this.root];
    const routes = this.ways.map(({ flipped, way }) => this.route(flipped, way, corner));
    return { nodes, groups, routes, size: [root.width + 2 * PAD, root.height + 2 * PAD] };
  }

  /** The corners of an edge's way, from its source to its target. */
  route(flipped, way, corner) {
    const route = [];
    for (const [i, edge] of way) {
      for (const [px, py] of this.levels[i].route(edge)) {
        const x = corner[i][0] + px, y = corner[i][1] + py, last = route.at(-1);
        if (!last || Math.abs(x - last[0]) + Math.abs(y - last[1]) > SAME) route.push([x, y]);
      }
    }
    return flipped ? route.reverse() : route;
  }
}

/** The things in an order that their arrows follow; where they go in circles, the first made goes first. */
function sortedAlong(things, arrows) {
  const waiting = new Map(things.map((thing) => [thing, 0]));
  const targets = (thing) => arrows.get(thing) ?? [];
  for (const thing of things) for (const target of targets(thing)) waiting.set(target, waiting.get(target) + 1);
  const queue = things.filter((thing) => !waiting.get(thing)), done = new Set(queue), order = [];
  let fallback = 0;
  while (order.length < things.length) {
    if (order.length === queue.length) {
      while (done.has(things[fallback])) fallback++;
      queue.push(things[fallback]);
      done.add(things[fallback++]);
    }
    const thing = queue[order.length];
    order.push(thing);
    for (const target of targets(thing)) {
      waiting.set(target, waiting.get(target) - 1);
      if (waiting.get(target) || done.has(target)) continue;
      queue.push(target);
      done.add(target);
    }
  }
  return order;
}

// ----- one level -----

const door = (out, value) => `${out ? "out" : "in"} ${value}`;

/** What one group holds: first its things as vertices, then ports, then bends; and edges between them. */
class Level {
  constructor() {
    this.things = [];
    this.ports = new Map(); // {door: vertex}
    this.entries = [];
    this.exits = [];
    this.vertices = 0;
    this.edges = [];
    this.known = new Map();
    this.doors = new Map(); // {door: how far right of the middle of the group's box it is}
    this.indent = this.head = this.foot = 0;
  }

  /** The vertex where a value goes through the lower border (`out`) or the upper one. */
  port(value, out) {
    const key = door(out, value);
    if (!this.ports.has(key)) {
      (out ? this.exits : this.entries).push(this.vertices);
      this.ports.set(key, this.vertices++);
    }
    return this.ports.get(key);
  }

  /** The number of the edge that a value takes from vertex to vertex; a new one if it is to be `apart`. */
  edge(tail, head, value, apart) {
    const key = `${tail} ${head} ${value}`;
    if (apart || !this.known.has(key)) {
      this.known.set(key, this.edges.length);
      this.edges.push([tail, head, value]);
    }
    return this.known.get(key);
  }

  /** Places all vertices; `boxes` has the level of each thing that is a group. */
  lay(sizes, boxes) {
    const none = Array(this.ports.size).fill(0);
    this.widths = [...sizes.map(([width]) => width), ...none];
    this.heights = [...sizes.map(([, height]) => height), ...none];
    const offset = (vertex, out, value) => boxes[vertex]?.doors.get(door(out, value)) ?? 0;
    this.tailOffsets = this.edges.map(([tail, , value]) => offset(tail, true, value));
    this.headOffsets = this.edges.map(([, head, value]) => offset(head, false, value));
    this.assignRanks();
    this.bendEdges();
    this.orderRows();
    this.placeVertices();
    this.stackRows();
  }

  rounds(many) {
    return this.rank.length < LARGE ? many : FEWER;
  }

  // ----- ranks -----

  /** Longest paths from above; then what has more edges to one side than to the other moves to that side. */
  assignRanks() {
    const things = range(this.things.length), into = lists(this.vertices), out = lists(this.vertices);
    for (const [tail, head] of this.edges) {
      into[head].push(tail);
      out[tail].push(head);
    }
    const rank = Array(this.vertices).fill(this.entries.length ? 1 : 0);
    for (const vertex of this.entries) rank[vertex] = 0;
    for (const vertex of [...this.entries, ...things]) {
      for (const head of out[vertex]) rank[head] = Math.max(rank[head], rank[vertex] + 1);
    }
    for (let round = 0; round < TIGHTENINGS; round++) this.tighten(things, into, out, rank);
    const last = largest(things.map((vertex) => rank[vertex]), 0) + 1;
    for (const vertex of this.exits) rank[vertex] = last;
    const dense = new Map([...new Set(rank)].sort((a, b) => a - b).map((r, i) => [r, i]));
    this.rank = rank.map((r) => dense.get(r));
  }

  tighten(things, into, out, rank) {
    for (const vertex of [...things].reverse()) {
      if (out[vertex].length <= into[vertex].length) continue;
      rank[vertex] = Math.max(rank[vertex], smallest(out[vertex].map((head) => rank[head]), Infinity) - 1);
    }
    for (const vertex of things) {
      if (into[vertex].length <= out[vertex].length) continue;
      rank[vertex] = Math.min(rank[vertex], largest(into[vertex].map((tail) => rank[tail]), -Infinity) + 1);
    }
  }

  /** Edges over several ranks get a bend, a vertex of its own, in each; those of one value share them. */
  bendEdges() {
    this.bends = lists(this.edges.length);
    this.links = []; // [upper vertex, lower vertex, offset of the upper end, offset of the lower]
    const chains = new Map(), spans = this.edges.map(([tail, head]) => this.rank[head] - this.rank[tail]);
    let budget = BENDS * (this.vertices + this.edges.length);
    for (const edge of range(this.edges.length).sort((a, b) => spans[a] - spans[b])) {
      const [tail, head, value] = this.edges[edge], key = `${tail} ${value}`;
      if (!chains.has(key)) chains.set(key, []);
      const chain = chains.get(key);
      budget -= Math.max(0, spans[edge] - 1 - chain.length);
      if (budget < 0) continue;
      let above = chain.at(-1) ?? tail, offset = chain.length ? 0 : this.tailOffsets[edge];
      while (chain.length < spans[edge] - 1) {
        const bend = this.newBend(this.rank[tail] + chain.length + 1);
        this.links.push([above, bend, offset, 0]);
        chain.push(bend);
        [above, offset] = [bend, 0];
      }
      this.bends[edge] = chain.slice(0, spans[edge] - 1);
      const bent = this.bends[edge].length > 0;
      this.links.push([this.bends[edge].at(-1) ?? tail, head, bent ? 0 : this.tailOffsets[edge], this.headOffsets[edge]]);
    }
  }

  newBend(rank) {
    this.rank.push(rank);
    this.widths.push(BEND);
    this.heights.push(0);
    return this.rank.length - 1;
  }

  // ----- the order in a rank -----

  /** Sweeps sort each rank by the mean place of its neighbours; the order with fewest crossings stays. */
  orderRows() {
    this.above = lists(this.rank.length);
    this.below = lists(this.rank.length);
    for (const [upper, lower, start, end] of this.links) {
      this.above[lower].push([upper, start, end]);
      this.below[upper].push([lower, end, start]);
    }
    let rows = this.firstRows(), fewest = this.crossings(rows);
    this.rows = rows;
    for (let sweep = 0; sweep < this.rounds(ORDERINGS) && fewest; sweep++) {
      rows = this.swept(rows, sweep % 2 === 1);
      const crossings = this.crossings(rows);
      if (crossings < fewest) [this.rows, fewest] = [rows, crossings];
    }
  }

  /** Every rank in the order in which a walk upwards from the last things meets its vertices. */
  firstRows() {
    const rows = lists(largest(this.rank, -1) + 1), met = Array(this.rank.length).fill(false);
    for (let start = this.rank.length - 1; start >= 0; start--) {
      if (this.below[start].length) continue;
      const stack = [start];
      while (stack.length) {
        const vertex = stack.pop();
        if (met[vertex]) continue;
        met[vertex] = true;
        rows[this.rank[vertex]].push(vertex);
        for (let i = this.above[vertex].length - 1; i >= 0; i--) stack.push(this.above[vertex][i][0]);
      }
    }
    return rows;
  }

  /** The rows, each sorted anew, downwards or upwards. */
  swept(rows, upwards) {
    const beside = upwards ? this.below : this.above, place = Array(this.rank.length).fill(0), swept = [...rows];
    for (const r of upwards ? range(rows.length).reverse() : range(rows.length)) {
      const keys = new Map(rows[r].map((vertex, i) => [vertex, this.mean(beside[vertex], place, i)]));
      swept[r] = [...rows[r]].sort((a, b) => keys.get(a) - keys.get(b));
      swept[r].forEach((vertex, i) => (place[vertex] = i));
    }
    return swept;
  }

  /** The mean place of the ends of links; `alone`, where there are none. */
  mean(ends, place, alone) {
    let total = 0;
    for (const [other, at] of ends) total += place[other] + this.lean(other, at);
    return ends.length ? total / ends.length : alone;
  }

  /** Where on a vertex an edge ends, as a part of its width. */
  lean(vertex, offset) {
    return offset ? offset / this.widths[vertex] : 0;
  }

  /** How many pairs of links cross. */
  crossings(rows) {
    const place = Array(this.rank.length).fill(0);
    for (const row of rows) row.forEach((vertex, i) => (place[vertex] = i));
    let total = 0;
    for (const row of rows.slice(0, -1)) {
      const ends = [];
      for (const upper of row) {
        for (const [lower, end, start] of this.below[upper]) {
          ends.push([place[upper] + this.lean(upper, start), place[lower] + this.lean(lower, end)]);
        }
      }
      if (ends.length > 1) total += inversions(ends.sort((a, b) => a[0] - b[0] || a[1] - b[1]).map(([, end]) => end));
    }
    return total;
  }

  // ----- places -----

  /** x: sweeps move each rank's vertices to the mean of their neighbours, as far as there is room. */
  placeVertices() {
    const rooms = this.rows.map((row) => row.map((vertex) => this.widths[vertex] + GAP));
    this.x = Array(this.rank.length).fill(0);
    this.rows.forEach((row, r) => this.move(row, separate(row.map(() => 0), rooms[r], row.map(() => 1))));
    const rounds = this.rounds(PLACINGS), order = range(this.rows.length);
    for (let sweep = 0; sweep < rounds; sweep++) {
      const both = sweep >= rounds - 2, down = sweep % 2 === 0;
      for (const r of down ? order : [...order].reverse()) this.settle(this.rows[r], rooms[r], down || both, !down || both);
    }
    const left = smallest(this.x.map((x, i) => x - this.widths[i] / 2), Infinity);
    this.x = this.x.map((x) => x - left);
    this.width = largest(this.x.map((x, i) => x + this.widths[i] / 2), 0);
  }

  /** Moves the vertices of one row to the mean of their neighbours above, below or both. */
  settle(row, room, above, below) {
    const wanted = [], weights = [];
    for (const vertex of row) {
      let total = 0, mass = 0;
      for (const side of [above ? this.above[vertex] : [], below ? this.below[vertex] : []]) {
        for (const [other] of side) {
          const weight = this.weight(vertex, other);
          total += weight * this.x[other];
          mass += weight;
        }
      }
      wanted.push(mass ? total / mass : this.x[vertex]);
      weights.push(mass || 0.1);
    }
    this.move(row, separate(wanted, room, weights));
  }

  /** How straight a link is to be: a long edge the most; one from a leaf, or that ends a long one, yields. */
  weight(vertex, other) {
    const bends = (vertex >= this.vertices ? 1 : 0) + (other >= this.vertices ? 1 : 0);
    if (bends === 2) return STRAIGHT;
    const upper = this.rank[vertex] < this.rank[other] ? vertex : other;
    return bends === 0 && this.above[upper].length ? 1 : YIELDING;
  }

  move(row, places) {
    row.forEach((vertex, i) => (this.x[vertex] = places[i]));
  }

  /** y: ranks as high as their highest vertex, further apart where an edge between them goes far to the side. */
  stackRows() {
    const reach = Array(this.rows.length).fill(0);
    for (const [upper, lower, start, end] of this.links) {
      const r = this.rank[upper];
      reach[r] = Math.max(reach[r], Math.abs(this.x[upper] + start - this.x[lower] - end));
    }
    this.tops = [];
    this.bottoms = [];
    let y = 0;
    this.rows.forEach((row, r) => {
      this.tops.push(y);
      this.bottoms.push(y + largest(row.map((vertex) => this.heights[vertex]), 0));
      const border = (this.entries.length && r === 0) || (this.exits.length && r === this.rows.length - 2);
      y = this.bottoms.at(-1) + (border ? RANK_GAP / 2 : RANK_GAP) + Math.min(reach[r] / 10, 2 * RANK_GAP);
    });
    this.height = this.bottoms.at(-1) ?? 0;
    this.y = this.rank.map((_, vertex) => this.levelWith(vertex));
    this.spreadEnds();
  }

  /** The height of a vertex in its rank: near to its only neighbours, where they are all on one side. */
  levelWith(vertex) {
    const top = this.tops[this.rank[vertex]], bottom = this.bottoms[this.rank[vertex]];
    const above = this.above[vertex].length, below = this.below[vertex].length;
    if (!above && below) return bottom - this.heights[vertex] / 2;
    if (!below && above) return top + this.heights[vertex] / 2;
    return (top + bottom) / 2;
  }

  /** Edges that enter a node end side by side, in the order in which they come. */
  spreadEnds() {
    const entering = lists(this.vertices);
    this.edges.forEach(([tail, head], edge) => {
      if (!this.headOffsets[edge]) entering[head].push([this.x[this.bends[edge].at(-1) ?? tail], edge]);
    });
    entering.forEach((ends, vertex) => {
      const step = ends.length ? Math.min(ENDS, (0.6 * this.widths[vertex]) / ends.length) : 0;
      ends.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
      ends.forEach(([, edge], i) => (this.headOffsets[edge] = (i - (ends.length - 1) / 2) * step));
    });
  }

  /** The corners of an edge's way in this level: straight down through every rank. */
  route(edge) {
    const [tail, head] = this.edges[edge];
    const x = this.x[tail] + this.tailOffsets[edge], end = this.x[head] + this.headOffsets[edge];
    const bends = this.bends[edge].flatMap((bend) => {
      const r = this.rank[bend];
      return [[this.x[bend], this.tops[r]], [this.x[bend], this.bottoms[r]]];
    });
    const start = [[x, this.lower(tail)], [x, this.bottoms[this.rank[tail]]]];
    return [...start, ...bends, [end, this.tops[this.rank[head]]], [end, this.upper(head)]];
  }

  lower(vertex) {
    return this.isPort(vertex) ? -this.head : this.y[vertex] + this.heights[vertex] / 2;
  }

  upper(vertex) {
    return this.isPort(vertex) ? this.height + this.foot : this.y[vertex] - this.heights[vertex] / 2;
  }

  isPort(vertex) {
    return this.things.length <= vertex && vertex < this.vertices;
  }
}

/** How many pairs of the numbers stand in the wrong order. */
function inversions(ends) {
  const seen = [];
  let total = 0;
  for (const end of ends) {
    let low = 0, high = seen.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (end < seen[middle]) high = middle;
      else low = middle + 1;
    }
    total += seen.length - low;
    seen.splice(low, 0, end);
  }
  return total;
}
