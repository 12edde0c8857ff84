// Returns what is wrong with the visible texts of a page: overlaps, cuts, small or faint text.
() => {
  const problems = [];
  const shown = (element) => element.checkVisibility({ visibilityProperty: true });

  // The corners of a text, also if it is turned.
  function corners(text) {
    const box = text.getBBox();
    const matrix = text.getScreenCTM();
    const at = (x, y) => new DOMPoint(x, y).matrixTransform(matrix);
    // The line is higher than its letters; two lines may touch.
    const [top, bottom] = [box.y + 0.2 * box.height, box.y + 0.85 * box.height];
    return [at(box.x, top), at(box.x + box.width, top), at(box.x + box.width, bottom), at(box.x, bottom)];
  }

  // Whether two boxes share more than half a unit: no edge of either separates them.
  function overlap(a, b) {
    for (const [p, q] of [a, b].flatMap((c) => [[c[0], c[1]], [c[1], c[2]]])) {
      const length = Math.hypot(q.x - p.x, q.y - p.y) || 1;
      const axis = { x: (q.x - p.x) / length, y: (q.y - p.y) / length };
      const range = (c) => {
        const along = c.map((point) => point.x * axis.x + point.y * axis.y);
        return [Math.min(...along), Math.max(...along)];
      };
      const [lowA, highA] = range(a);
      const [lowB, highB] = range(b);
      if (highA <= lowB + 0.5 || highB <= lowA + 0.5) return false;
    }
    return true;
  }

  function rgba(colour) {
    const parts = colour.match(/[\d.]+/g)?.map(Number) ?? [0, 0, 0, 0];
    return { rgb: parts.slice(0, 3), alpha: parts[3] ?? 1 };
  }

  function luminance(rgb) {
    const [r, g, b] = rgb.map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  }

  function contrast(a, b) {
    const [high, low] = [luminance(a), luminance(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  }

  function background(element) {
    for (let place = element; place; place = place.parentElement) {
      const { rgb, alpha } = rgba(getComputedStyle(place).backgroundColor);
      if (alpha > 0.5) return rgb;
    }
    return [255, 255, 255];
  }

  // The filled marks that lie under the middle of a text.
  function mark(text, svg) {
    const box = text.getBoundingClientRect();
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    let found = null;
    for (const path of svg.querySelectorAll(".mark-rect path")) {
      const style = getComputedStyle(path);
      const strength = style.opacity * style.fillOpacity;
      if (style.fill === "none" || strength < 0.5) continue;
      const point = new DOMPoint(x, y).matrixTransform(path.getScreenCTM().inverse());
      if (path.isPointInFill(point)) found = style.fill;
    }
    return found && rgba(found).rgb;
  }

  for (const svg of document.querySelectorAll(".plot svg")) {
    if (!shown(svg)) continue;
    const name = svg.closest("[data-figure]").dataset.figure;
    const frame = svg.getBoundingClientRect();
    const texts = [...svg.querySelectorAll("text")].filter((text) => text.textContent.trim() && shown(text));
    const boxes = texts.map(corners);
    texts.forEach((text, i) => {
      const said = `${name}: "${text.textContent.slice(0, 40)}"`;
      const size = parseFloat(getComputedStyle(text).fontSize) * Math.abs(svg.getScreenCTM().a);
      if (size < 10.99) problems.push(`${said} is ${size} px high`);
      for (const { x, y } of boxes[i]) {
        if (x < frame.left - 1 || x > frame.right + 1 || y < frame.top - 1 || y > frame.bottom + 1) {
          problems.push(`${said} leaves the figure`);
          break;
        }
      }
      for (let j = 0; j < i; j += 1) {
        if (overlap(boxes[i], boxes[j])) problems.push(`${said} overlaps "${texts[j].textContent.slice(0, 40)}"`);
      }
      const behind = mark(text, svg) ?? background(svg);
      const ratio = contrast(rgba(getComputedStyle(text).fill).rgb, behind);
      if (ratio < 4.5) problems.push(`${said} has contrast ${ratio.toFixed(2)}`);
    });
  }

  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || seen.has(element)) continue;
    if (element.closest("svg, script, style") || !shown(element)) continue;
    seen.add(element);
    const ratio = contrast(rgba(getComputedStyle(element).color).rgb, background(element));
    if (ratio < 4.5) problems.push(`"${element.textContent.slice(0, 40)}" has contrast ${ratio.toFixed(2)}`);
  }

  const wide = document.documentElement.scrollWidth - innerWidth;
  if (wide > 0) problems.push(`the page is ${wide} px wider than the screen`);
  return problems;
}
