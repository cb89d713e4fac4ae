/** The agreement slider: chooses an operating point, says what it guarantees, and shows all points as a curve. */
import { type Procedure, curveChart } from "./charts.js";
import { byId, element, table } from "./dom.js";
import { percent } from "./format.js";
import { leavesNowhere, type OperatingPoint, type OperatingPoints, type Point } from "../engine/index.js";

export class PointsView {
  readonly #slider = byId("agreement", HTMLInputElement);
  readonly #onChange: () => void;
  #all: OperatingPoints | undefined;

  constructor(onChange: () => void) {
    this.#onChange = onChange;
    const changed = (): void => {
      this.draw();
      this.#onChange();
    };
    this.#slider.addEventListener("input", changed);
    for (const input of document.querySelectorAll("input[name=procedure]")) input.addEventListener("change", changed);
  }

  /** Shows the points of a model, or hides the view if it has none. */
  show(all: OperatingPoints | undefined): void {
    this.#all = all;
    byId("points").hidden = all === undefined;
    if (all === undefined) return;
    this.#slider.max = String(all.points.length - 1);
    this.#slider.value = String(firstShown(all.points));
    const none = all.points.every(({ certified }) => certified === undefined);
    byId("procedure-certified", HTMLInputElement).disabled = none;
    byId(none ? "procedure-paper" : "procedure-certified", HTMLInputElement).checked = true;
    this.draw();
  }

  /** The point in use. */
  get current(): Point | undefined {
    const point = this.#point;
    return this.#procedure === "certified" ? point?.certified : point?.paper;
  }

  draw(): void {
    const all = this.#all;
    const point = this.#point;
    const current = this.current;
    if (all === undefined || point === undefined || current === undefined) return;
    const procedure = this.#procedure;
    const level = percent(point.agreement, 0);
    byId("agreement-value", HTMLOutputElement).value = level;
    const guarantee =
      procedure === "certified" ? `certified at ${percent(1 - all.delta, 0)} confidence` : "uncalibrated, no guarantee";
    this.#slider.setAttribute("aria-valuetext", `agreement ${level}, ${guarantee}`);
    byId("promise").replaceChildren(...promise(all, point, procedure));
    byId("curve").replaceChildren(
      curveChart(all.points, { index: all.points.indexOf(point), procedure }, byId("curve").clientWidth),
    );
    byId("curve-table").replaceChildren(pointsTable(all));
  }

  get #point(): OperatingPoint | undefined {
    return this.#all?.points[Number(this.#slider.value)];
  }

  get #procedure(): Procedure {
    return byId("procedure-paper", HTMLInputElement).checked ? "paper" : "certified";
  }
}

/** The strictest level with certified exits, or else the strictest of all. */
function firstShown(points: readonly OperatingPoint[]): number {
  const leaving = points.findLastIndex(({ certified }) => certified !== undefined && !leavesNowhere(certified));
  return leaving < 0 ? points.length - 1 : leaving;
}

/** What the point in use guarantees, and its results. */
function promise(all: OperatingPoints, { agreement, certified, paper }: OperatingPoint, procedure: Procedure): Node[] {
  const level = percent(agreement, 0);
  const { documents } = all;
  const measured = ({ test }: Point): string =>
    `On ${documents.test} test documents, ${percent(test.agreement)} of the tokens were the full ` +
    `model's, ${percent(test.coverage)} left early, mean depth ${test.meanDepth.toFixed(2)}.`;
  if (procedure === "certified" && certified !== undefined) {
    const claim = leavesNowhere(certified)
      ? `At ${level} nothing could be certified from these documents, so this policy never leaves early.`
      : `Certified: at least ${level} of a document's tokens, on average, are the full model's, ` +
        `with ${percent(1 - all.delta, 0)} confidence over the draw of ${documents.calibration} calibration ` +
        "documents.";
    return [element("p", {}, element("strong", { class: "certified" }, claim)), element("p", {}, measured(certified))];
  }
  const missed = paper.test.agreement < agreement;
  return [
    element(
      "p",
      {},
      element(
        "strong",
        { class: "uncalibrated" },
        `Uncalibrated: the published procedure, asked for ${level} at every exit, promises nothing.`,
      ),
    ),
    element("p", {}, `${measured(paper)}${missed ? ` That is less than the ${level} asked for.` : ""}`),
  ];
}

function pointsTable({ points }: OperatingPoints): HTMLTableElement {
  const cells = (point: Point | undefined): string[] =>
    point === undefined
      ? ["none", "", ""]
      : [percent(point.test.agreement), percent(point.test.coverage), point.test.meanDepth.toFixed(2)];
  return table(
    "Operating points, measured on test documents",
    [
      "asked for",
      "certified: agreement",
      "left early",
      "mean depth",
      "uncalibrated: agreement",
      "left early",
      "mean depth",
    ],
    points.map(({ agreement, certified, paper }) => [percent(agreement, 0), ...cells(certified), ...cells(paper)]),
  );
}
