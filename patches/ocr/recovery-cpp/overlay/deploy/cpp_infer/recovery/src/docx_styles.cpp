// Copyright (c) 2023 PaddlePaddle Authors. All Rights Reserved.
//
// Licensed under the Apache License, Version 2.0 (the "License");
// you may not use this file except in compliance with the License.
// You may obtain a copy of the License at
//
//     http://www.apache.org/licenses/LICENSE-2.0
//
// Unless required by applicable law or agreed to in writing, software
// distributed under the License is distributed on an "AS IS" BASIS,
// WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
// See the License for the specific language governing permissions and
// limitations under the License.

#include "docx_parts.h"
#include "utf8.h"

namespace PaddleOCR {
namespace recovery {

namespace {

std::string heading(int level, int half_points) {
  const std::string n = std::to_string(level),
                    size = std::to_string(half_points);
  return "<w:style w:type=\"paragraph\" w:styleId=\"Heading" + n +
         "\"><w:name w:val=\"heading " + n +
         "\"/><w:basedOn w:val=\"Normal\"/><w:next w:val=\"Normal\"/>"
         "<w:uiPriority w:val=\"9\"/><w:qFormat/><w:pPr><w:keepNext/>"
         "<w:spacing w:before=\"160\" w:after=\"80\"/><w:outlineLvl w:val=\"" +
         std::to_string(level - 1) +
         "\"/></w:pPr><w:rPr><w:b/><w:bCs/><w:sz w:val=\"" + size +
         "\"/><w:szCs w:val=\"" + size + "\"/></w:rPr></w:style>";
}

// In an attribute.
std::string escaped(const std::string &text) {
  std::string out;
  for (char c : xml_text(text))
    out += c == '&'   ? "&amp;"
           : c == '<' ? "&lt;"
           : c == '"' ? "&quot;"
                      : std::string(1, c);
  return out;
}

std::string paragraph_style(const std::string &id, const std::string &name,
                            const std::string &properties) {
  return "<w:style w:type=\"paragraph\" w:styleId=\"" + id +
         "\"><w:name w:val=\"" + name + "\"/><w:basedOn w:val=\"Normal\"/>" +
         properties + "</w:style>";
}

} // namespace

std::string styles_xml(const Document &document) {
  const std::string font = escaped(document.font);
  const std::string song = escaped(document.east_asian_font);
  std::string xml =
      "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>"
      "<w:styles xmlns:w=\"http://schemas.openxmlformats.org/"
      "wordprocessingml/2006/main\"><w:docDefaults><w:rPrDefault><w:rPr>"
      "<w:rFonts w:ascii=\"" +
      font + "\" w:hAnsi=\"" + font + "\" w:eastAsia=\"" + song + "\" w:cs=\"" +
      font +
      "\"/>"
      "<w:sz w:val=\"21\"/><w:szCs w:val=\"21\"/>"
      "<w:lang w:val=\"en-US\" w:eastAsia=\"zh-CN\" w:bidi=\"ar-SA\"/>"
      "</w:rPr></w:rPrDefault><w:pPrDefault/></w:docDefaults>"
      "<w:style w:type=\"paragraph\" w:default=\"1\" w:styleId=\"Normal\">"
      "<w:name w:val=\"Normal\"/><w:qFormat/><w:pPr>"
      "<w:spacing w:after=\"60\"/></w:pPr></w:style>";
  xml += heading(1, 32) + heading(2, 28) + heading(3, 24);
  xml += paragraph_style("Caption", "caption",
                         "<w:qFormat/><w:pPr><w:spacing w:before=\"60\" "
                         "w:after=\"120\"/><w:jc w:val=\"center\"/></w:pPr>");
  xml += paragraph_style("ListParagraph", "List Paragraph",
                         "<w:qFormat/><w:pPr><w:contextualSpacing/></w:pPr>");
  xml += paragraph_style("FootnoteText", "footnote text", "");
  xml += paragraph_style("Header", "header", "");
  xml += paragraph_style("Footer", "footer", "");
  xml += "<w:style w:type=\"table\" w:default=\"1\" w:styleId=\"TableNormal\">"
         "<w:name w:val=\"Normal Table\"/><w:uiPriority w:val=\"99\"/>"
         "<w:semiHidden/><w:unhideWhenUsed/><w:tblPr><w:tblInd w:w=\"0\" "
         "w:type=\"dxa\"/><w:tblCellMar><w:top w:w=\"0\" w:type=\"dxa\"/>"
         "<w:left w:w=\"70\" w:type=\"dxa\"/><w:bottom w:w=\"0\" "
         "w:type=\"dxa\"/><w:right w:w=\"70\" w:type=\"dxa\"/></w:tblCellMar>"
         "</w:tblPr></w:style>";
  std::string borders;
  for (const char *side :
       {"top", "left", "bottom", "right", "insideH", "insideV"})
    borders += "<w:" + std::string(side) +
               " w:val=\"single\" w:sz=\"4\" w:space=\"0\" w:color=\"auto\"/>";
  xml += "<w:style w:type=\"table\" w:styleId=\"TableGrid\"><w:name "
         "w:val=\"Table Grid\"/><w:basedOn w:val=\"TableNormal\"/><w:pPr>"
         "<w:spacing w:after=\"0\"/></w:pPr><w:tblPr><w:tblBorders>" +
         borders + "</w:tblBorders></w:tblPr></w:style></w:styles>";
  return xml;
}

std::string numbering_xml(const Document &document) {
  std::string abstract, numbers;
  int last = 0;
  for (const Section &section : document.sections)
    for (const Block &block : section.blocks) {
      const Paragraph &paragraph = block.paragraph;
      if (block.kind != BlockKind::Paragraph || paragraph.list <= last)
        continue;
      last = paragraph.list;
      const std::string id = std::to_string(last);
      const bool bullet = paragraph.list_kind == ListKind::Bullet;
      abstract += "<w:abstractNum w:abstractNumId=\"" + id +
                  "\"><w:multiLevelType w:val=\"singleLevel\"/><w:lvl "
                  "w:ilvl=\"0\"><w:start w:val=\"" +
                  std::to_string(paragraph.first) + "\"/><w:numFmt w:val=\"" +
                  (bullet ? "bullet" : "decimal") + "\"/><w:lvlText w:val=\"" +
                  escaped(paragraph.mark) +
                  "\"/><w:lvlJc w:val=\"left\"/><w:pPr><w:ind w:left=\"420\" "
                  "w:hanging=\"420\"/></w:pPr></w:lvl></w:abstractNum>";
      numbers += "<w:num w:numId=\"" + id + "\"><w:abstractNumId w:val=\"" +
                 id + "\"/></w:num>";
    }
  if (last == 0)
    return std::string();
  return "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>"
         "<w:numbering xmlns:w=\"http://schemas.openxmlformats.org/"
         "wordprocessingml/2006/main\">" +
         abstract + numbers + "</w:numbering>";
}

} // namespace recovery
} // namespace PaddleOCR
