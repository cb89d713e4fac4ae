/** The page's state, and its actions: open a model, write, inspect a token, share. Others are in files of their own. */
import type { FileMap } from "early-exits/browser";
import { Chatting } from "./chatting.js";
import { Comparison } from "./comparison.js";
import {
  keyValuesOf,
  type KeyValueSpan,
  type Mode,
  type Opened,
  type TokenEvent,
  type Written,
} from "./engine/index.js";
import { Racing } from "./racing.js";
import { EMBEDDED, EXITS, isCancelled, Session } from "./session.js";
import { linkTo, type Settings } from "./settings.js";
import {
  askDepths,
  byId,
  CertificateView,
  chosenDevice,
  chosenDtype,
  chosenMode,
  clearError,
  copy,
  copyLink,
  type DepthScale,
  fillForm,
  formSettings,
  MapView,
  messageOf,
  modeNames,
  offerModes,
  percent,
  PointsView,
  showBeside,
  showError,
  showInspector,
  showLedger,
  showLegend,
  showModel,
  showRounds,
  showStatus,
  showThresholds,
  slowMotion,
  type Source,
  summaryOf,
  TextView,
} from "./views/index.js";

/** Milliseconds per token in slow motion. */
const PAUSE = 40;

/** A text on the page, complete once it has `written`. */
interface Text {
  readonly mode: Mode;
  readonly prompt: string;
  readonly scale: DepthScale;
  readonly tokens: TokenEvent[];
  written?: Written;
  keyValues?: readonly (readonly KeyValueSpan[])[];
}

export class App {
  readonly #session = new Session(new PointsView(() => void this.write()));
  readonly #textView = new TextView(byId("text"), (index) => this.#inspect(index));
  readonly #mapView = new MapView((index) => this.#textView.choose(index));
  readonly #certificateView = new CertificateView();
  readonly comparison = new Comparison(this.#session);
  readonly racing = new Racing(this.#session);
  readonly chatting = new Chatting(this.#session);
  #text: Text | undefined;
  /** The model that is open, or that is being opened. */
  #wanted: string | FileMap = EMBEDDED;

  /**
   * Opens a model, and takes settings over. A model that cannot chat writes at once. The previous model stays if the
   * new one cannot be opened.
   */
  async open(source: string | FileMap, settings: Partial<Settings> = {}): Promise<void> {
    if (!(await this.#open(source))) return;
    this.#fill(settings);
    if (this.#session.opened?.canChat !== true) await this.write();
    else showStatus("The model is loaded. Write a message under Chat, or let it continue the prompt.");
  }

  /** Opens the embedded model, unless it is open or being opened. */
  async openEmbedded(): Promise<void> {
    if (this.#wanted !== EMBEDDED) await this.open(EMBEDDED);
  }

  /** Opens the same model again, on the device that is now chosen. */
  reopen(): Promise<void> {
    return this.open(this.#wanted);
  }

  /** Takes settings over, and writes. */
  async apply(settings: Partial<Settings>): Promise<void> {
    this.#fill(settings);
    await this.write();
  }

  async write(): Promise<void> {
    const { client, settings, ready } = this.#session;
    if (ready === undefined) return;
    const controller = this.#session.begin("write");
    const mode = chosenMode();
    const scale = this.#session.scaleOf(mode);
    const text: Text = { mode, prompt: settings.prompt, scale, tokens: [] };
    this.#text = text;
    this.#textView.begin(settings.prompt, scale);
    this.#clearLessons();
    showStatus(`Writing, ${modeNames[mode]} …`);
    try {
      const written = await client.request(
        { type: "write", mode, pause: slowMotion() ? PAUSE : 0, ...settings },
        { signal: controller.signal, onEvent: (token) => this.#add(text, token) },
      );
      if (this.#text !== text) return;
      clearError();
      this.#finish(text, written);
      await client.request({ type: "lens" }, { signal: controller.signal, onEvent: (row) => this.#mapView.add(row) });
      askDepths(text.prompt, text.tokens, scale);
      showThresholds(written.predictions, written.score, ready.points?.points);
      await this.comparison.afterText(textsOf(text.tokens), mode, settings, controller.signal);
    } catch (error) {
      if (!isCancelled(error)) showError(error);
      if (this.#text === text && text.written === undefined) {
        this.#textView.end([]);
        showStatus("Stopped.");
      }
    } finally {
      this.#session.end(controller);
    }
  }

  stop(): void {
    this.#session.stop();
  }

  /** Draws the chart anew, for a new width. */
  redraw(): void {
    this.#session.points.draw();
  }

  async copyText(): Promise<void> {
    if (this.#text === undefined) return;
    const { prompt, tokens } = this.#text;
    await copy(prompt + textsOf(tokens).join(""), "The text is copied.");
  }

  /** A link to the settings. Files have no address, so a link names only models that have one. */
  async copyLink(): Promise<void> {
    const { points, source } = this.#session;
    const model = typeof source === "string" && source !== EMBEDDED ? { model: source } : {};
    await copyLink(linkTo(location.href, { ...formSettings(), ...points.choice, ...model }));
  }

  /** Opens the panel on what is certified. */
  showCertificate(): void {
    const { opened, policy } = this.#session;
    if (opened === undefined || policy === undefined) return;
    const { certificate } = this.#session.points;
    this.#certificateView.open({
      policy,
      certificate: typeof certificate === "object" ? certificate : undefined,
      url: this.#certificateUrl,
      storedAs: opened.storedAs,
    });
  }

  /** Fetches the certificate and verifies it in the worker, against the model and the heads that are open. */
  async checkCertificate(): Promise<void> {
    const url = this.#certificateUrl;
    if (url === undefined) return;
    this.#certificateView.showChecking();
    const verified = await this.#session.client
      .request({ type: "verify", url })
      .catch((error: unknown) => ({ refuted: true, sentence: messageOf(error) }));
    if (url === this.#certificateUrl) this.#certificateView.showVerdict(verified);
  }

  /** The operating point in use, if a certificate holds for it. */
  get #certified() {
    const { current } = this.#session.points;
    return current !== undefined && "certificate" in current ? current : undefined;
  }

  get #certificateUrl(): string | undefined {
    const { opened } = this.#session;
    const point = this.#certified;
    return point === undefined || opened?.pointsFrom === undefined
      ? undefined
      : `${opened.pointsFrom}${point.certificate}`;
  }

  async #open(source: string | FileMap): Promise<boolean> {
    const { client } = this.#session;
    const controller = this.#session.begin("open");
    const { signal } = controller;
    this.#wanted = source;
    showStatus("Loading the model …");
    try {
      const opened = await client.request(
        { type: "open", wish: chosenDevice(), source, dtype: chosenDtype(), exits: EXITS },
        { signal, onEvent: ({ done, total }) => showStatus(`Loading the model, ${percent(done / total, 0)} …`) },
      );
      this.#session.opened = opened;
      this.#session.source = source;
      clearError();
      this.#describe(opened);
      this.#session.end(controller);
      return true;
    } catch (error) {
      if (!isCancelled(error)) showError(error);
      if (this.#session.end(controller)) {
        this.#wanted = this.#session.source;
        showStatus(this.#session.opened === undefined ? "No model is loaded." : "The previous model is still loaded.");
      }
      return false;
    }
  }

  #describe(opened: Opened): void {
    const { numLayers, depths, points, pointsFrom, policy, storedAs } = opened;
    const canExit = points !== undefined || policy !== undefined;
    showModel(opened, sourceOf(this.#session.source));
    this.#session.points.show(points, storedAs, pointsFrom);
    byId("certificate-open").hidden = !canExit;
    offerModes(canExit);
    this.#text = undefined;
    this.#textView.clear();
    this.#clearLessons();
    this.comparison.forget();
    this.racing.clear();
    this.chatting.offer(opened.canChat);
    showLegend({ numLayers, depths: canExit ? depths : [] });
  }

  /** Hides what is about a complete text. */
  #clearLessons(): void {
    this.#mapView.begin();
    showThresholds([]);
    showBeside();
    for (const id of ["timeline", "guess"]) byId(id).hidden = true;
  }

  #fill({ agreement, procedure, ...form }: Partial<Settings>): void {
    fillForm(form);
    this.#session.points.choose({ ...(agreement !== undefined && { agreement }), ...(procedure && { procedure }) });
  }

  #add(text: Text, token: TokenEvent): void {
    if (this.#text !== text) return;
    if (text.tokens.length === 0) performance.mark("first-token");
    text.tokens.push(token);
    this.#textView.add(token);
  }

  #finish(text: Text, written: Written): void {
    const { mode, scale, tokens } = text;
    const { numLayers = 1, keyValueLayers = 1 } = this.#session.opened ?? {};
    const { predictions, rounds } = written;
    text.written = written;
    text.keyValues = keyValuesOf(tokens, { mode, fill: written.fill, numLayers, keyValueLayers });
    this.#textView.end(predictions);
    this.#mapView.begin({ tokens, numLayers, keyValues: text.keyValues });
    showStatus(summaryOf(written, scale));
    showLegend(scale, written.depthCounts);
    showLedger(byId("ledger"), written);
    byId("timeline").hidden = mode !== "lossless";
    if (mode === "lossless") showRounds(byId("rounds"), { rounds, tokens, predictions });
  }

  #inspect(index: number): void {
    const text = this.#text;
    const token = text?.tokens[index];
    if (text === undefined || token === undefined) return;
    const textOf = (at: number): string => text.tokens[at]?.text ?? "";
    showInspector(byId("inspector"), {
      token,
      prediction: text.written?.predictions[index],
      scale: { numLayers: text.scale.numLayers, depths: this.#session.opened?.depths ?? [] },
      score: text.written?.score,
      mode: text.mode,
      before: index === 0 ? text.prompt.slice(-12) : textOf(index - 1),
      keyValues: text.keyValues?.[index],
      textOf,
    });
  }
}

const textsOf = (tokens: readonly TokenEvent[]): string[] => tokens.map(({ text }) => text);

function sourceOf(source: string | FileMap): Source {
  if (typeof source !== "string") return "files";
  return source === EMBEDDED ? "embedded" : "address";
}
