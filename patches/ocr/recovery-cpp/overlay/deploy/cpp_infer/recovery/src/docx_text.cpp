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

#include <algorithm>
#include <cctype>
#include <cmath>

namespace PaddleOCR {
namespace recovery {

namespace {

// Characters that need run properties of their own.
enum class Script { Plain, RightToLeft, Extension };

Script script_of(uint32_t code, Script before) {
  if (code >= 0x20000 && code <= 0x3FFFF)
    return Script::Extension; // ideographs beyond the BMP
  if (is_right_to_left(code))
    return Script::RightToLeft;
  // spaces and punctuation stay with what precedes them
  const bool neutral = code < 0x80 && !std::isalnum(static_cast<int>(code));
  return neutral && before == Script::RightToLeft ? before : Script::Plain;
}

void add_value(pugi::xml_node parent, const char *name, const char *value) {
  parent.append_child(name).append_attribute("w:val") = value;
}

void add_run(pugi::xml_node paragraph, const Run &format, Script script,
             const std::string &text, float font_size) {
  pugi::xml_node run = paragraph.append_child("w:r");
  pugi::xml_node properties = run.append_child("w:rPr");
  // the order of these elements is the schema's
  if (script == Script::Extension) {
    pugi::xml_node fonts = properties.append_child("w:rFonts");
    for (const char *name : {"w:ascii", "w:hAnsi", "w:eastAsia", "w:cs"})
      fonts.append_attribute(name) = "SimSun-ExtB";
  } else if (format.code) {
    pugi::xml_node fonts = properties.append_child("w:rFonts");
    for (const char *name : {"w:ascii", "w:hAnsi", "w:cs"})
      fonts.append_attribute(name) = "Courier New";
  }
  if (format.bold) {
    properties.append_child("w:b");
    properties.append_child("w:bCs");
  }
  if (format.italic) {
    properties.append_child("w:i");
    properties.append_child("w:iCs");
  }
  if (format.strike)
    properties.append_child("w:strike");
  if (font_size > 0) {
    const int size = static_cast<int>(std::lround(font_size * 2));
    properties.append_child("w:sz").append_attribute("w:val") = size;
    properties.append_child("w:szCs").append_attribute("w:val") = size;
  }
  if (format.underline)
    add_value(properties, "w:u", "single");
  if (format.superscript || format.subscript)
    add_value(properties, "w:vertAlign",
              format.superscript ? "superscript" : "subscript");
  if (script == Script::RightToLeft)
    properties.append_child("w:rtl");
  if (!properties.first_child())
    run.remove_child(properties);
  if (format.note > 0) { // its mark follows as text, as on the page
    pugi::xml_node note = run.append_child("w:footnoteReference");
    note.append_attribute("w:customMarkFollows") = 1;
    note.append_attribute("w:id") = format.note;
  }
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    if (begin > 0)
      run.append_child("w:br");
    if (end > begin) {
      pugi::xml_node node = run.append_child("w:t");
      node.append_attribute("xml:space") = "preserve";
      node.text().set(text.substr(begin, end - begin).c_str());
    }
    begin = end + 1;
  }
}

} // namespace

const char *align_name(Align align) {
  return align == Align::Left     ? "left"
         : align == Align::Centre ? "center"
                                  : "right";
}

int twips(float points) { return static_cast<int>(std::lround(points * 20)); }

namespace {

// End of the address that begins at `i`, or `i` when none does. An address in
// the text ends before white space, ideographs and closing marks.
size_t address_end(const std::string &text, size_t i) {
  const bool begins =
      text.compare(i, 7, "http://") == 0 || text.compare(i, 8, "https://") == 0;
  if (!begins)
    return i;
  size_t end = i;
  while (end < text.size() && text[end] > ' ' && text[end] < 0x7F &&
         std::string("<>\"{}|\\^`").find(text[end]) == std::string::npos)
    ++end;
  while (end > i &&
         std::string(".,;:!?)]'").find(text[end - 1]) != std::string::npos)
    --end;
  return text.find('.', i) < end ? end : i;
}

// Addresses in the text become links.
std::vector<Run> with_links(const std::vector<Run> &runs) {
  std::vector<Run> out;
  for (const Run &run : runs) {
    if (!run.link.empty()) {
      out.push_back(run);
      continue;
    }
    size_t begin = 0, i = 0;
    const auto add = [&](size_t end, bool link) {
      if (end == begin)
        return;
      Run part = run;
      part.text = run.text.substr(begin, end - begin);
      if (link)
        part.link = part.text;
      out.push_back(part);
      begin = end;
    };
    while ((i = run.text.find("http", i)) != std::string::npos) {
      const size_t end = address_end(run.text, i);
      if (end > i) {
        add(i, false);
        add(end, true);
      }
      i = std::max(end, i + 4);
    }
    add(run.text.size(), false);
  }
  return out;
}

// A field that leads to the address: it needs no relation, so that it may
// stand in every part. Other schemes than these are only text.
pugi::xml_node link_field(pugi::xml_node paragraph, const std::string &link) {
  const bool safe = link.compare(0, 7, "http://") == 0 ||
                    link.compare(0, 8, "https://") == 0 ||
                    link.compare(0, 7, "mailto:") == 0;
  if (!safe || link.find_first_of("\"\\") != std::string::npos)
    return paragraph;
  pugi::xml_node field = paragraph.append_child("w:fldSimple");
  field.append_attribute("w:instr") =
      ("HYPERLINK \"" + xml_text(link) + "\"").c_str();
  return field;
}

} // namespace

void add_runs(pugi::xml_node node, const std::vector<Run> &runs,
              float font_size) {
  for (Run run : with_links(runs)) {
    pugi::xml_node paragraph = node;
    if (!run.link.empty()) {
      paragraph = link_field(node, run.link);
      run.underline = run.underline || paragraph != node;
    }
    std::string piece;
    Script script = Script::Plain;
    for (uint32_t code : decode_utf8(xml_text(run.text))) {
      const Script next = script_of(code, script);
      if (next != script && !piece.empty()) {
        add_run(paragraph, run, script, piece, font_size);
        piece.clear();
      }
      script = next;
      append_utf8(&piece, code);
    }
    if (!piece.empty())
      add_run(paragraph, run, script, piece, font_size);
  }
}

pugi::xml_node add_paragraph(pugi::xml_node parent,
                             const Paragraph &paragraph) {
  pugi::xml_node node = parent.append_child("w:p");
  pugi::xml_node properties = node.append_child("w:pPr");
  if (paragraph.kind == ParagraphKind::Heading)
    add_value(
        properties, "w:pStyle",
        ("Heading" + std::to_string(std::min(3, paragraph.level))).c_str());
  else if (paragraph.kind == ParagraphKind::Caption)
    add_value(properties, "w:pStyle", "Caption");
  else if (paragraph.kind == ParagraphKind::Footnote)
    add_value(properties, "w:pStyle", "FootnoteText");
  else if (paragraph.list_kind != ListKind::None)
    add_value(properties, "w:pStyle", "ListParagraph");
  if (paragraph.list_kind != ListKind::None) {
    pugi::xml_node list = properties.append_child("w:numPr");
    list.append_child("w:ilvl").append_attribute("w:val") = 0;
    list.append_child("w:numId").append_attribute("w:val") = paragraph.list;
  }
  if (paragraph.right_to_left)
    properties.append_child("w:bidi");
  if (paragraph.line_pitch > 0) {
    pugi::xml_node spacing = properties.append_child("w:spacing");
    spacing.append_attribute("w:line") = twips(paragraph.line_pitch);
    spacing.append_attribute("w:lineRule") = "atLeast";
  }
  if (paragraph.indent_first) // two characters
    properties.append_child("w:ind").append_attribute("w:firstLine") =
        twips(2 * paragraph.font_size);
  if (paragraph.align != Align::Left)
    add_value(properties, "w:jc", align_name(paragraph.align));
  if (!properties.first_child())
    node.remove_child(properties);
  if (paragraph.kind == ParagraphKind::Equation)
    add_math(node, paragraph.latex);
  else
    add_runs(node, paragraph.runs, paragraph.font_size);
  return node;
}

} // namespace recovery
} // namespace PaddleOCR
