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
#include "table_grid.h"
#include "utf8.h"

#include <algorithm>
#include <sstream>

namespace PaddleOCR {
namespace recovery {

namespace {

const char kWord[] =
    "http://schemas.openxmlformats.org/wordprocessingml/2006/main";
const char kRelations[] =
    "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const char kDrawing[] = "http://schemas.openxmlformats.org/drawingml/2006/main";
const char kPicture[] =
    "http://schemas.openxmlformats.org/drawingml/2006/picture";
const char kAnchor[] =
    "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing";
const char kMath[] =
    "http://schemas.openxmlformats.org/officeDocument/2006/math";
const float kColumnGap = 21; // points between two columns
const char kProlog[] =
    "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"yes\"?>";

std::vector<unsigned char> to_bytes(const std::string &text) {
  return std::vector<unsigned char>(text.begin(), text.end());
}

std::string to_xml(const pugi::xml_document &xml) {
  std::ostringstream out;
  xml.save(out, "", pugi::format_raw | pugi::format_no_declaration,
           pugi::encoding_utf8);
  return kProlog + out.str();
}

// Collects the body and the parts that it refers to.
class BodyWriter {
public:
  explicit BodyWriter(const Document &document) : document_(document) {}

  void write(std::vector<Part> *parts) {
    pugi::xml_document xml;
    pugi::xml_node root = xml.append_child("w:document");
    root.append_attribute("xmlns:w") = kWord;
    root.append_attribute("xmlns:r") = kRelations;
    root.append_attribute("xmlns:a") = kDrawing;
    root.append_attribute("xmlns:pic") = kPicture;
    root.append_attribute("xmlns:wp") = kAnchor;
    root.append_attribute("xmlns:m") = kMath;
    body_ = root.append_child("w:body");
    relate("styles", "styles.xml");
    relate("settings", "settings.xml");
    if (!numbering_xml(document_).empty())
      relate("numbering", "numbering.xml");
    if (!document_.notes.empty())
      add_notes();
    for (size_t s = 0; s < document_.sections.size(); ++s)
      add_section(s);
    if (document_.sections.empty()) {
      body_.append_child("w:p");
      add_section_properties(body_, Section(), PageFrame(), true);
    }
    parts->push_back(Part{"word/document.xml", to_bytes(to_xml(xml)), true});
    parts->push_back(
        Part{"word/_rels/document.xml.rels",
             to_bytes(std::string(kProlog) +
                      "<Relationships xmlns=\"http://schemas.openxmlformats."
                      "org/package/2006/relationships\">" +
                      relations_ + "</Relationships>"),
             true});
    for (Part &part : parts_)
      parts->push_back(std::move(part));
  }

  const std::string &overrides() const { return overrides_; }

private:
  std::string relate(const std::string &kind, const std::string &target) {
    const std::string id = "rId" + std::to_string(++relation_count_);
    relations_ += "<Relationship Id=\"" + id + "\" Type=\"" + kRelations + "/" +
                  kind + "\" Target=\"" + target + "\"/>";
    return id;
  }

  void add_notes() {
    pugi::xml_document xml;
    pugi::xml_node root = xml.append_child("w:footnotes");
    root.append_attribute("xmlns:w") = kWord;
    const auto line = [&](int id, const char *type, const char *tag) {
      pugi::xml_node note = root.append_child("w:footnote");
      note.append_attribute("w:type") = type;
      note.append_attribute("w:id") = id;
      note.append_child("w:p").append_child("w:r").append_child(tag);
    };
    line(-1, "separator", "w:separator");
    line(0, "continuationSeparator", "w:continuationSeparator");
    for (size_t i = 0; i < document_.notes.size(); ++i) {
      pugi::xml_node note = root.append_child("w:footnote");
      note.append_attribute("w:id") = static_cast<int>(i) + 1;
      add_paragraph(note, document_.notes[i]);
    }
    parts_.push_back(Part{"word/footnotes.xml", to_bytes(to_xml(xml)), true});
    overrides_ += "<Override PartName=\"/word/footnotes.xml\" ContentType=\""
                  "application/vnd.openxmlformats-officedocument."
                  "wordprocessingml.footnotes+xml\"/>";
    relate("footnotes", "footnotes.xml");
  }

  void add_section(size_t s) {
    const Section &section = document_.sections[s];
    const size_t place = static_cast<size_t>(document_.section_page[s]);
    const PageFrame &frame = document_.pages.at(place);
    const float all = frame.width - 2 * frame.margin_x;
    int column = 0;
    pugi::xml_node last;
    for (const Block &block : section.blocks) {
      const bool breaks = block.column != column;
      column = block.column;
      const float width =
          static_cast<size_t>(column) < section.widths.size()
              ? section.widths[column]
              : (all - kColumnGap * (section.columns - 1)) / section.columns;
      const bool table = block.kind == BlockKind::Table;
      const bool below_table = last && std::string(last.name()) == "w:tbl";
      if (breaks || (table && below_table) || // two tables would become one
          (table && !last && block.space_before > 0))
        last = small_paragraph(breaks);
      if (table) // has no such property; what stands above it has
        set_spacing(last, 0, block.space_before);
      last = add_block(block, width, frame);
      set_spacing(last, table ? 0 : block.space_before, block.space_after);
    }
    if (!last || std::string(last.name()) == "w:tbl")
      last = small_paragraph(false);
    if (s + 1 == document_.sections.size()) {
      add_section_properties(body_, section, frame, begins_page(s));
      return;
    }
    // the properties stand in the last paragraph of the section
    pugi::xml_node properties = last.child("w:pPr");
    if (!properties)
      properties = last.prepend_child("w:pPr");
    add_section_properties(properties, section, frame, begins_page(s));
  }

  // The first section of a page has its header and footer, even where a table
  // of the page before runs into it.
  bool begins_page(size_t s) const {
    return s == 0 || document_.section_page[s] != document_.section_page[s - 1];
  }

  static void set_spacing(pugi::xml_node node, float before, float after_it) {
    const bool any = before > 0 || after_it > 0;
    if (!any || std::string(node.name()) != "w:p")
      return;
    pugi::xml_node properties = node.child("w:pPr");
    if (!properties)
      properties = node.prepend_child("w:pPr");
    pugi::xml_node after = properties.first_child(); // in the schema's order
    while (after && std::string(after.name()) != "w:ind" &&
           std::string(after.name()) != "w:jc")
      after = after.next_sibling();
    pugi::xml_node spacing = properties.child("w:spacing");
    if (!spacing)
      spacing = after ? properties.insert_child_before("w:spacing", after)
                      : properties.append_child("w:spacing");
    const auto set = [&](const char *name, float points) {
      spacing.remove_attribute(name);
      spacing.append_attribute(name) = twips(points);
    };
    if (before > 0)
      set("w:before", before);
    if (after_it > 0)
      set("w:after", after_it);
  }

  pugi::xml_node small_paragraph(bool column_break) {
    pugi::xml_node node = body_.append_child("w:p");
    pugi::xml_node properties = node.append_child("w:pPr");
    pugi::xml_node spacing = properties.append_child("w:spacing");
    spacing.append_attribute("w:after") = 0;
    spacing.append_attribute("w:line") = 40;
    spacing.append_attribute("w:lineRule") = "exact";
    if (column_break)
      node.append_child("w:r").append_child("w:br").append_attribute("w:type") =
          "column";
    return node;
  }

  pugi::xml_node add_block(const Block &block, float width,
                           const PageFrame &frame) {
    if (block.kind == BlockKind::Paragraph)
      return add_paragraph(body_, block.paragraph);
    if (block.kind == BlockKind::Picture)
      return add_picture(block, width, frame);
    if (block.table.columns > kWordColumns)
      return add_wide_table(block.table);
    const float high = frame.height - frame.margin_top - frame.margin_bottom;
    add_table(body_, block.table,
              TablePlace{width, block.box.width() * frame.points_per_pixel,
                         std::min(0.95f * high,
                                  block.box.height() * frame.points_per_pixel),
                         frame.text_size});
    return body_.last_child();
  }

  // More columns than Word takes: a paragraph a row, cells apart by tabs. The
  // sheet has the table.
  pugi::xml_node add_wide_table(const Table &table) {
    pugi::xml_node node;
    for (const std::string &text : row_texts(table)) {
      Paragraph paragraph;
      paragraph.runs.push_back(Run(text));
      node = add_paragraph(body_, paragraph);
    }
    return node;
  }

  pugi::xml_node add_picture(const Block &block, float width,
                             const PageFrame &frame) {
    const Picture &picture = block.picture;
    const int number = ++picture_count_;
    const std::string name =
        "media/image" + std::to_string(number) + "." + picture.extension;
    parts_.push_back(Part{"word/" + name, picture.bytes, false});
    const std::string id = relate("image", name);
    // as wide as on the page, at most the column
    float wide = block.box.width() * frame.points_per_pixel;
    if (!(wide >= 8))
      wide = width;
    wide = std::min(wide, width);
    float high = wide * picture.height / picture.width;
    const float most =
        0.9f * (frame.height - frame.margin_top - frame.margin_bottom);
    if (high > most) {
      wide *= most / high;
      high = most;
    }
    const long long cx = std::max(1LL, static_cast<long long>(wide * 12700));
    const long long cy = std::max(1LL, static_cast<long long>(high * 12700));

    pugi::xml_node node = body_.append_child("w:p");
    pugi::xml_node properties = node.append_child("w:pPr");
    properties.append_child("w:jc").append_attribute("w:val") =
        align_name(picture.align);
    pugi::xml_node place = node.append_child("w:r")
                               .append_child("w:drawing")
                               .append_child("wp:inline");
    for (const char *side : {"distT", "distB", "distL", "distR"})
      place.append_attribute(side) = 0;
    const auto extent = [&](pugi::xml_node parent, const char *tag) {
      pugi::xml_node size = parent.append_child(tag);
      size.append_attribute("cx") = cx;
      size.append_attribute("cy") = cy;
    };
    extent(place, "wp:extent");
    const auto label = [&](pugi::xml_node label_node) {
      label_node.append_attribute("id") = number;
      label_node.append_attribute("name") =
          ("Picture " + std::to_string(number)).c_str();
      if (!picture.description.empty())
        label_node.append_attribute("descr") =
            xml_text(picture.description).c_str();
    };
    label(place.append_child("wp:docPr"));
    pugi::xml_node data =
        place.append_child("a:graphic").append_child("a:graphicData");
    data.append_attribute("uri") = kPicture;
    pugi::xml_node pic = data.append_child("pic:pic");
    pugi::xml_node named = pic.append_child("pic:nvPicPr");
    label(named.append_child("pic:cNvPr"));
    named.append_child("pic:cNvPicPr");
    pugi::xml_node fill = pic.append_child("pic:blipFill");
    fill.append_child("a:blip").append_attribute("r:embed") = id.c_str();
    fill.append_child("a:stretch").append_child("a:fillRect");
    pugi::xml_node shape = pic.append_child("pic:spPr");
    pugi::xml_node transform = shape.append_child("a:xfrm");
    pugi::xml_node offset = transform.append_child("a:off");
    offset.append_attribute("x") = 0;
    offset.append_attribute("y") = 0;
    extent(transform, "a:ext");
    pugi::xml_node form = shape.append_child("a:prstGeom");
    form.append_attribute("prst") = "rect";
    form.append_child("a:avLst");
    return node;
  }

  // Header or footer of a page: one part for each different text. A page
  // without one gets an empty part when an earlier page has one, else it
  // would inherit that.
  void add_margin(pugi::xml_node properties, const std::vector<Paragraph> &text,
                  const std::string &kind) {
    std::string key = kind;
    for (const Paragraph &paragraph : text)
      key += "\n" + plain_text(paragraph.runs);
    if (text.empty() && !margin_used_[kind])
      return;
    margin_used_[kind] = true;
    std::string &id = margins_[key];
    if (id.empty()) {
      const std::string name = kind + std::to_string(++margin_count_) + ".xml";
      pugi::xml_document xml;
      pugi::xml_node root =
          xml.append_child(kind == "header" ? "w:hdr" : "w:ftr");
      root.append_attribute("xmlns:w") = kWord;
      for (const Paragraph &paragraph : text)
        add_margin_paragraph(root, paragraph,
                             kind == "header" ? "Header" : "Footer");
      if (text.empty())
        root.append_child("w:p");
      parts_.push_back(Part{"word/" + name, to_bytes(to_xml(xml)), true});
      overrides_ += "<Override PartName=\"/word/" + name +
                    "\" ContentType=\"application/vnd.openxmlformats-"
                    "officedocument.wordprocessingml." +
                    kind + "+xml\"/>";
      id = relate(kind, name);
    }
    pugi::xml_node reference =
        properties.append_child(("w:" + kind + "Reference").c_str());
    reference.append_attribute("w:type") = "default";
    reference.append_attribute("r:id") = id.c_str();
  }

  void add_margin_paragraph(pugi::xml_node root, const Paragraph &paragraph,
                            const char *style) {
    pugi::xml_node node = add_paragraph(root, paragraph);
    pugi::xml_node properties = node.child("w:pPr");
    if (!properties)
      properties = node.prepend_child("w:pPr");
    properties.prepend_child("w:pStyle").append_attribute("w:val") = style;
  }

  void add_section_properties(pugi::xml_node parent, const Section &section,
                              const PageFrame &frame, bool first) {
    pugi::xml_node properties = parent.append_child("w:sectPr");
    if (first) {
      add_margin(properties, frame.header, "header");
      add_margin(properties, frame.footer, "footer");
    }
    properties.append_child("w:type").append_attribute("w:val") =
        section.starts_page ? "nextPage" : "continuous";
    pugi::xml_node size = properties.append_child("w:pgSz");
    size.append_attribute("w:w") = twips(frame.width);
    size.append_attribute("w:h") = twips(frame.height);
    if (frame.width > frame.height)
      size.append_attribute("w:orient") = "landscape";
    pugi::xml_node margin = properties.append_child("w:pgMar");
    margin.append_attribute("w:top") = twips(frame.margin_top);
    margin.append_attribute("w:right") = twips(frame.margin_x);
    margin.append_attribute("w:bottom") = twips(frame.margin_bottom);
    margin.append_attribute("w:left") = twips(frame.margin_x);
    margin.append_attribute("w:header") = twips(frame.header_edge);
    margin.append_attribute("w:footer") = twips(frame.footer_edge);
    margin.append_attribute("w:gutter") = 0;
    pugi::xml_node columns = properties.append_child("w:cols");
    if (section.columns > 1)
      columns.append_attribute("w:num") = section.columns;
    columns.append_attribute("w:space") = twips(kColumnGap);
    if (!section.widths.empty()) {
      columns.append_attribute("w:equalWidth") = 0;
      for (size_t c = 0; c < section.widths.size(); ++c) {
        pugi::xml_node column = columns.append_child("w:col");
        column.append_attribute("w:w") = twips(section.widths[c]);
        if (c + 1 < section.widths.size())
          column.append_attribute("w:space") = twips(kColumnGap);
      }
    }
    if (section.right_to_left)
      properties.append_child("w:bidi");
  }

  const Document &document_;
  pugi::xml_node body_;
  std::string relations_, overrides_;
  std::vector<Part> parts_;
  std::map<std::string, std::string> margins_;
  std::map<std::string, bool> margin_used_;
  int relation_count_ = 0, picture_count_ = 0, margin_count_ = 0;
};

} // namespace

std::vector<Part> make_parts(const Document &document) {
  std::vector<Part> inner;
  BodyWriter body(document);
  body.write(&inner);
  const std::string word =
      "application/vnd.openxmlformats-officedocument.wordprocessingml.";
  std::string types = std::string(kProlog) +
                      "<Types xmlns=\"http://schemas.openxmlformats.org/"
                      "package/2006/content-types\">"
                      "<Default Extension=\"rels\" ContentType=\"application/"
                      "vnd.openxmlformats-package.relationships+xml\"/>"
                      "<Default Extension=\"xml\" "
                      "ContentType=\"application/xml\"/>";
  for (const char *extension : {"jpeg", "png", "gif", "bmp"})
    types += "<Default Extension=\"" + std::string(extension) +
             "\" ContentType=\"image/" + extension + "\"/>";
  const std::string numbering = numbering_xml(document);
  std::vector<std::string> names = {"document.main", "styles", "settings"};
  if (!numbering.empty())
    names.push_back("numbering");
  for (const std::string &name : names) {
    const std::string file = name == "document.main" ? "document" : name;
    types += "<Override PartName=\"/word/" + file + ".xml\" ContentType=\"" +
             word + name + "+xml\"/>";
  }
  types += body.overrides();
  types += "</Types>";

  std::vector<Part> parts;
  parts.push_back(Part{"[Content_Types].xml", to_bytes(types), true});
  parts.push_back(
      Part{"_rels/.rels",
           to_bytes(std::string(kProlog) +
                    "<Relationships xmlns=\"http://schemas.openxmlformats.org/"
                    "package/2006/relationships\"><Relationship Id=\"rId1\" "
                    "Type=\"" +
                    kRelations +
                    "/officeDocument\" Target=\"word/document.xml\"/>"
                    "</Relationships>"),
           true});
  for (Part &part : inner)
    parts.push_back(std::move(part));
  parts.push_back(
      Part{"word/styles.xml", to_bytes(styles_xml(document)), true});
  if (!numbering.empty())
    parts.push_back(Part{"word/numbering.xml", to_bytes(numbering), true});
  parts.push_back(Part{
      "word/settings.xml",
      to_bytes(std::string(kProlog) + "<w:settings xmlns:w=\"" + kWord + "\">" +
               (document.notes.empty()
                    ? ""
                    : "<w:footnotePr><w:footnote w:id=\"-1\"/>"
                      "<w:footnote w:id=\"0\"/></w:footnotePr>") +
               "<w:compat><w:compatSetting w:name=\"compatibilityMode\""
               " w:uri=\"http://schemas.microsoft.com/office/word\" "
               "w:val=\"15\"/></w:compat></w:settings>"),
      true});
  return parts;
}

} // namespace recovery
} // namespace PaddleOCR
