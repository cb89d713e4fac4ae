/** VitePress's default theme, with the cells of the tour. */
import type { Theme } from "vitepress";
import DefaultTheme from "vitepress/theme";
import { TourCell } from "../../tour/tour-cell.js";
import "./style.css";

export default {
  extends: DefaultTheme,
  enhanceApp({ app }) {
    app.component("TourCell", TourCell);
  },
} satisfies Theme;
