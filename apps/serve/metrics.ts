/** /metrics in Prometheus' format, without prompts and texts. */
import { Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Audit } from "early-exits/calibrate";
import type { Batcher } from "./batcher.js";
import type { ServedSummary, ServedToken } from "./served-text.js";

const SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

export class Metrics {
  readonly #registry = new Registry();
  readonly #requests: Counter<"route" | "status">;
  readonly #tokens: Counter<"mode">;
  readonly #promptTokens: Counter<"source">;
  readonly #depths: Histogram<"mode">;
  readonly #exits: Counter<"exit">;
  readonly #queued: Histogram;
  readonly #firstToken: Histogram;
  readonly #between: Histogram;

  constructor(batcher: Batcher, audit: Audit | undefined) {
    const registers = [this.#registry];
    const { numLayers } = batcher.model.config;
    const depths = Array.from({ length: numLayers }, (_, i) => i + 1);
    const named = (name: string, help: string) => ({ name: `early_exits_${name}`, help, registers });
    this.#requests = new Counter({ ...named("requests_total", "Requests"), labelNames: ["route", "status"] });
    this.#tokens = new Counter({ ...named("tokens_total", "Tokens written"), labelNames: ["mode"] });
    this.#promptTokens = new Counter({
      ...named("prompt_tokens_total", "Prompt tokens, computed or copied from another text"),
      labelNames: ["source"],
    });
    this.#depths = new Histogram({
      ...named("token_depth_blocks", "Blocks run to choose a token, or to draft it"),
      labelNames: ["mode"],
      buckets: depths,
    });
    this.#exits = new Counter({ ...named("exits_taken_total", "Tokens that left at an exit"), labelNames: ["exit"] });
    const timed = (name: string, help: string) => new Histogram({ ...named(name, help), buckets: SECONDS });
    this.#queued = timed("queue_seconds", "Time in the queue");
    this.#firstToken = timed("first_token_seconds", "Time from the request to the first token");
    this.#between = timed("between_tokens_seconds", "Mean time between the tokens of a text");
    const gauge = (name: string, help: string, read: () => number): void => {
      new Gauge({
        ...named(name, help),
        collect() {
          this.set(read());
        },
      });
    };
    gauge("running", "Texts that are being written", () => batcher.state.running);
    gauge("queued", "Texts that wait", () => batcher.state.queued);
    gauge("cache_bytes", "Bytes of all KV caches", () => batcher.state.cacheBytes);
    if (audit === undefined) return;
    gauge("audit_units", "Audited units", () => audit.report.units);
    gauge("audit_loss_mean", "Mean loss of the audited units", () => audit.report.meanLoss);
    gauge("audit_loss_low", "Confidence sequence of the mean loss: lower end", () => audit.report.interval.low);
    gauge("audit_loss_high", "Confidence sequence of the mean loss: upper end", () => audit.report.interval.high);
    gauge("audit_loss_target", "The loss that is promised at most", () => audit.report.target);
    gauge("audit_alarm", "1 once the alarm was raised", () => Number(audit.report.raised));
  }

  request(route: string, status: number): void {
    this.#requests.inc({ route, status: String(status) });
  }

  token({ depth, exit }: ServedToken, mode: string): void {
    this.#tokens.inc({ mode });
    this.#depths.observe({ mode }, depth);
    if (exit !== undefined) this.#exits.inc({ exit: String(exit) });
  }

  text({ promptTokens, reusedTokens, queued, timeToFirstToken, tokensPerSecond }: ServedSummary): void {
    this.#promptTokens.inc({ source: "computed" }, promptTokens - reusedTokens);
    this.#promptTokens.inc({ source: "copied" }, reusedTokens);
    this.#queued.observe(queued / 1000);
    if (!Number.isNaN(timeToFirstToken)) this.#firstToken.observe(timeToFirstToken / 1000);
    if (!Number.isNaN(tokensPerSecond)) this.#between.observe(1 / tokensPerSecond);
  }

  async response(): Promise<Response> {
    return new Response(await this.#registry.metrics(), { headers: { "content-type": this.#registry.contentType } });
  }
}
