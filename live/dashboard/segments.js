/** Shading of PRE and POST behind the bars: a primitive of the chart library. */

/** Rectangles from top to bottom, each over one stretch of time. */
export class SegmentShading {
  #spans = [];
  #color;
  #chart = null;
  #redraw = () => {};

  constructor(color) {
    this.#color = color;
  }

  /** Called by the chart. */
  attached({ chart, requestUpdate }) {
    this.#chart = chart;
    this.#redraw = requestUpdate;
  }

  /** Shade these stretches, in this color. */
  show(spans, color) {
    this.#spans = spans.filter((span) => span.segment !== "RTH");
    this.#color = color;
    this.#redraw();
  }

  /** Called by the chart. */
  paneViews() {
    const renderer = {
      draw: (target) => target.useBitmapCoordinateSpace((scope) => this.#draw(scope)),
    };
    return [{ zOrder: () => "bottom", renderer: () => renderer }];
  }

  #draw({ context, bitmapSize, horizontalPixelRatio }) {
    const scale = this.#chart.timeScale();
    const half = scale.options().barSpacing / 2;
    context.fillStyle = this.#color;
    for (const { from, to } of this.#spans) {
      const [left, right] = [scale.timeToCoordinate(from), scale.timeToCoordinate(to)];
      if (left === null || right === null) continue;
      const x = Math.round((left - half) * horizontalPixelRatio);
      const end = Math.round((right + half) * horizontalPixelRatio);
      context.fillRect(x, 0, end - x, bitmapSize.height);
    }
  }
}
