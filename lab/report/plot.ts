/** Observable Plot without a browser: linkedom is the document, the result an SVG as text. */
import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";

/** The SVG of a plot; its legends, which Plot would put beside it as HTML, are left out. */
export function plotSvg(options: Omit<Plot.PlotOptions, "document">): string {
  const { document } = parseHTML("<html><body></body></html>");
  const figure = Plot.plot({ ...options, document });
  const svg = figure.querySelector("svg") ?? figure;
  svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  return svg.outerHTML;
}
