export const WIDTH = 860;

/** A plot's heading and captions. */
export interface PageHead {
  heading: string;
  captions: readonly string[];
}

/** Where the drawing begins. */
export function topOf({ captions }: PageHead): number {
  return 58 + captions.length * 16;
}

/** A drawing under its head, as an SVG. `height` is that of the whole. */
export function drawPage({ heading, captions }: PageHead, height: number, drawn: string): string {
  const said = captions.map((caption, nth) =>
    `<text x="20" y="${50 + nth * 16}" font-size="11" fill="#475569">${escaped(caption)}</text>`
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="system-ui, sans-serif" font-size="12" fill="#0f172a">
<rect width="${WIDTH}" height="${height}" fill="#ffffff"/>
<text x="20" y="30" font-size="16" font-weight="600">${escaped(heading)}</text>
${said.join("\n")}
${drawn}
</svg>
`;
}

export function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
