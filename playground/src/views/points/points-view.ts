/** The agreement slider: chooses an operating point, says what it guarantees, and shows all as a curve. */
import type { CertifiedPoint, OperatingPoint, OperatingPoints, Point } from "../../engine/index.js";
import { messageOf } from "../controls.js";
import { byId, element, table } from "../dom.js";
import { percent } from "../format.js";
import type { OpenCertificate } from "./open-certificate.js";
import type { Procedure } from "./procedure.js";

/** The level that a model is shown at first, if it leaves early there. */
const FIRST_LEVEL = 0.9;

export interface PointChoice {
  readonly agreement: number;
  readonly procedure: Procedure;
}

export class PointsView {
  readonly #slider = byId("agreement", HTMLInputElement);
  readonly #onChange: () => void;
  /** Certificates by address, or what is wrong with one; undefined while one is read. */
  readonly #opened = new Map<string, OpenCertificate | string | undefined>();
  #from = "";
  #all: OperatingPoints | undefined;
  #storedAs = "";

  constructor(onChange: () => void) {
    this.#onChange = onChange;
    const changed = (): void => {
      this.draw();
      this.#onChange();
    };
    this.#slider.addEventListener("input", changed);
    for (const input of document.querySelectorAll("input[name=procedure]")) input.addEventListener("change", changed);
    byId("temperature").addEventListener("change", () => {
      this.draw();
    });
  }

  /**
   * Shows the points in a folder, of a model whose weights are stored in some way, or hides the view if it has none.
   */
  show(all: OperatingPoints | undefined, storedAs: string, from = ""): void {
    this.#all = all;
    this.#from = from;
    this.#storedAs = storedAs;
    this.#opened.clear();
    byId("operating-point").hidden = all === undefined;
    byId("points").hidden = all?.test === undefined;
    if (all === undefined) return;
    byId("procedure-paper", HTMLInputElement).disabled = all.points.some(({ paper }) => paper === undefined);
    this.#slider.max = String(all.points.length - 1);
    this.choose({ agreement: firstShown(all.points), procedure: "certified" });
  }

  /** Moves to the nearest level. */
  choose({ agreement, procedure }: Partial<PointChoice>): void {
    const points = this.#all?.points ?? [];
    if (agreement !== undefined && points.length > 0) {
      const distances = points.map((point) => Math.abs(point.agreement - agreement));
      this.#slider.value = String(distances.indexOf(Math.min(...distances)));
    }
    const input = byId(`procedure-${procedure ?? this.#procedure}`, HTMLInputElement);
    if (!input.disabled) input.checked = true;
    this.draw();
  }

  /** The chosen point; undefined if the model has none. */
  get choice(): PointChoice | undefined {
    const point = this.#point;
    return point && { agreement: point.agreement, procedure: this.#procedure };
  }

  /** The point in use. */
  get current(): Point | CertifiedPoint | undefined {
    return this.#procedure === "paper" ? this.#point?.paper : this.#certified;
  }

  /** The top-p of text that the point in use is certified for; 1 for greedy text, and without a certificate. */
  get topP(): number {
    return this.current?.policy.certified?.sampling.topP ?? 1;
  }

  draw(): void {
    const all = this.#all;
    const point = this.#point;
    const { current, choice } = this;
    if (all === undefined || point === undefined || current === undefined || choice === undefined) return;
    const level = percent(point.agreement, 0);
    byId("agreement-value", HTMLOutputElement).value = level;
    if (choice.procedure === "certified") this.#open(this.#certified!);
    this.#slider.setAttribute(
      "aria-valuetext",
      `agreement ${level}, ${this.isCertified ? "certified" : "uncalibrated, no guarantee"}`,
    );
    byId("promise").replaceChildren(
      claim({ ...point, certified: this.#certified! }, choice.procedure, this.#storedAs, this.certificate),
      ...measured(all, current, point),
    );
    if (all.test === undefined) return;
    byId("curve-table").replaceChildren(pointsTable(all));
    void drawCurve(all.points, choice);
  }

  get #point(): OperatingPoint | undefined {
    return this.#all?.points[Number(this.#slider.value)];
  }

  /** The certificate for the temperature that is asked for, otherwise that for greedy text. */
  get #certified(): CertifiedPoint | undefined {
    const { certified, sampled } = this.#point ?? {};
    return sampled !== undefined && temperatureOf(sampled) === askedTemperature() ? sampled : certified;
  }

  get #procedure(): Procedure {
    return byId("procedure-paper", HTMLInputElement).checked ? "paper" : "certified";
  }

  /** True if the point in use is certified for the weights that run, by a certificate that was opened. */
  get isCertified(): boolean {
    const point = this.#certified;
    const isFor = point?.policy.certified?.dtype === this.#storedAs && temperatureOf(point) === askedTemperature();
    return this.#procedure === "certified" && isFor && typeof this.certificate === "object";
  }

  /** That of the certified point, or what is wrong with it; undefined until it is read. */
  get certificate(): OpenCertificate | string | undefined {
    const point = this.#certified;
    return point && this.#opened.get(`${this.#from}${point.certificate}`);
  }

  /** Reads the certificate if it was not read yet, and draws again. */
  #open({ certificate, policy }: CertifiedPoint): void {
    const url = `${this.#from}${certificate}`;
    if (this.#opened.has(url)) return;
    this.#opened.set(url, undefined);
    void import("./open-certificate.js")
      .then(({ openCertificate }) => openCertificate(url, policy))
      .catch(messageOf)
      .then((found) => {
        this.#opened.set(url, found);
        this.draw();
      });
  }
}

/** The level at which a model is shown at first: the usual one, or the strictest at which tokens leave early. */
function firstShown(points: readonly OperatingPoint[]): number {
  const leaving = points.filter(({ certified }) => !leavesNowhere(certified)).map(({ agreement }) => agreement);
  return leaving.find((agreement) => agreement === FIRST_LEVEL) ?? leaving.at(-1) ?? FIRST_LEVEL;
}

const temperatureOf = ({ policy }: Point): number => policy.certified?.sampling.temperature ?? 0;
const askedTemperature = (): number => byId("temperature", HTMLInputElement).valueAsNumber;

const leavesNowhere = ({ policy }: Point): boolean => policy.exits.every(({ threshold }) => threshold === "never");

/** Charts arrive after the page, so the latest wish wins. */
let wish = 0;
async function drawCurve(points: readonly OperatingPoint[], choice: PointChoice): Promise<void> {
  const mine = ++wish;
  const { curveChart } = await import("./charts.js");
  if (mine === wish) byId("curve").replaceChildren(curveChart(points, choice, byId("curve").clientWidth));
}

/** Guarantee of the point in use; none before its certificate is read, or if something is wrong with it. */
function claim(
  { agreement, certified }: OperatingPoint,
  procedure: Procedure,
  storedAs: string,
  certificate: OpenCertificate | string | undefined,
): HTMLElement {
  const level = percent(agreement, 0);
  const strong = (kind: "certified" | "uncalibrated", text: string): HTMLElement =>
    element("p", {}, element("strong", { class: kind }, text));
  if (procedure === "paper") {
    return strong(
      "uncalibrated",
      `Uncalibrated: the published procedure, asked for ${level} at every exit, promises nothing.`,
    );
  }
  const dtype = certified.policy.certified?.dtype;
  if (dtype !== storedAs) {
    return strong(
      "uncalibrated",
      `Not certified here: the certificate is for weights stored as ${dtype ?? "something else"}, and these are ` +
        `stored as ${storedAs}. Another way can be chosen under “Model and device”.`,
    );
  }
  if (temperatureOf(certified) !== askedTemperature()) {
    return strong("uncalibrated", "Not certified at this temperature: the certificate is for greedy text, at 0.");
  }
  if (leavesNowhere(certified)) {
    return strong("certified", `At ${level} nothing could be certified, so this policy never leaves early.`);
  }
  if (certificate === undefined) return strong("uncalibrated", "The certificate is being read.");
  if (typeof certificate === "string") return strong("uncalibrated", `Not certified: ${certificate}.`);
  return strong("certified", `Certified: ${certificate.claim}. A single text may keep less.`);
}

/** The results on test documents; nothing if there was no test. */
function measured(all: OperatingPoints, { test }: Point, { agreement }: OperatingPoint): HTMLElement[] {
  if (all.test === undefined || test === undefined) return [];
  const missed = test.agreement < agreement ? ` That is less than the ${percent(agreement, 0)} asked for.` : "";
  const text =
    `On ${all.test.documents} test documents, ${percent(test.agreement)} of the tokens were the full ` +
    `model's, ${percent(test.coverage)} left early, mean depth ${test.meanDepth.toFixed(2)}.${missed}`;
  return [element("p", {}, text)];
}

function pointsTable({ points }: OperatingPoints): HTMLTableElement {
  const cells = ({ test }: Partial<Point> = {}): string[] =>
    test === undefined
      ? ["not tested", "", ""]
      : [percent(test.agreement), percent(test.coverage), test.meanDepth.toFixed(2)];
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
