/** A cell of the tour: a program that can be edited and run, and what it shows. */
import { withBase } from "vitepress";
import { computed, defineComponent, h, onBeforeUnmount, onMounted, ref, shallowRef, type VNode } from "vue";
import type { Shown } from "./protocol.js";
import { tour } from "./tour.js";

type State = "recorded" | "running" | "done" | "failed";

const WORDS: Readonly<Record<State, string>> = {
  recorded: "Recorded output",
  running: "Running …",
  done: "Output",
  failed: "Failed",
};

export const TourCell = defineComponent({
  name: "TourCell",
  props: { number: { type: Number, required: true } },
  setup({ number }, { slots }) {
    const program = ref<HTMLElement>();
    const state = ref<State>("recorded");
    const shown = shallowRef<readonly Shown[]>([]);
    const failure = ref("");
    const busy = computed(() => tour.running.value !== undefined);
    const code = (): HTMLElement => program.value!.querySelector("code")!;
    let original = "";

    onMounted(() => {
      original = code().innerHTML;
      makeEditable(code(), `Program of cell ${number}`);
      tour.add(number, {
        code: () => code().innerText.replaceAll("\u00a0", " "),
        begin() {
          state.value = "running";
          shown.value = [];
          failure.value = "";
        },
        show: (next) => void (shown.value = [...shown.value, next]),
        end(reason) {
          state.value = reason === undefined ? "done" : "failed";
          failure.value = reason ?? "";
        },
      });
    });
    onBeforeUnmount(() => tour.remove(number));

    const site = (): string => new URL(withBase("/"), location.href).href;
    const run = (): void => void tour.run(number, site());
    const runAll = (): void => void tour.run(undefined, site());
    const reset = (): void => void (code().innerHTML = original);
    const onKeydown = (event: KeyboardEvent): void => {
      if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      run();
    };

    const button = (label: string, onClick: () => void, disabled: boolean): VNode =>
      h("button", { type: "button", class: "tour-button", onClick, disabled }, label);
    return () =>
      h("section", { class: "tour-cell", "data-state": state.value, "aria-label": `Cell ${number}` }, [
        h("div", { ref: program, onKeydown }, slots["default"]?.()),
        h("div", { class: "tour-actions" }, [
          button("Run", run, busy.value),
          ...(number === 1 ? [button("Run all cells", runAll, busy.value)] : []),
          button("Undo edits", reset, busy.value),
          ...(state.value === "running" ? [button("Stop", () => tour.stop(), false)] : []),
          h("span", { class: "tour-state", role: "status" }, WORDS[state.value]),
        ]),
        h(
          "div",
          { class: "tour-output", role: "group", "aria-label": `Output of cell ${number}` },
          state.value === "recorded" ? slots["recorded"]?.() : outputOf(shown.value, failure.value),
        ),
      ]);
  },
});

/** Code that can be changed where it stands: as text only, with or without colours. */
function makeEditable(code: HTMLElement, label: string): void {
  code.contentEditable = "plaintext-only";
  code.spellcheck = false;
  for (const [name, value] of Object.entries({ role: "textbox", "aria-multiline": "true", "aria-label": label })) {
    code.setAttribute(name, value);
  }
}

function outputOf(shown: readonly Shown[], failure: string): VNode[] {
  const parts = shown.map((one) => {
    switch (one.kind) {
      case "text":
        return h("span", one.text);
      case "token":
        return tokenOf(one);
      case "table":
        return tableOf(one.rows);
    }
  });
  return failure === "" ? parts : [...parts, h("p", { class: "tour-failure" }, failure)];
}

/** Coloured by the share of blocks that the token did not need. */
function tokenOf({ text, share, note }: Extract<Shown, { kind: "token" }>): VNode {
  if (share <= 0) return h("span", { title: note }, text);
  return h("span", { class: "tour-token", title: note, style: { "--share": `${Math.round(100 * share)}%` } }, text);
}

function tableOf([head = [], ...rows]: Extract<Shown, { kind: "table" }>["rows"]): VNode {
  const row = (tag: "th" | "td", cells: readonly string[]): VNode =>
    h(
      "tr",
      cells.map((cell) => h(tag, tag === "th" ? { scope: "col" } : {}, cell)),
    );
  return h("table", { tabindex: 0 }, [
    h("thead", [row("th", head)]),
    h(
      "tbody",
      rows.map((cells) => row("td", cells)),
    ),
  ]);
}
