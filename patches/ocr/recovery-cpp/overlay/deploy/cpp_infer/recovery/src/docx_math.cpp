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

#include <map>

namespace PaddleOCR {
namespace recovery {

namespace {

const int kMaxDepth = 40;

// Commands that stand for one character.
const std::map<std::string, uint32_t> &symbols() {
  static const std::map<std::string, uint32_t> known = {
      {"alpha", 0x3B1},
      {"beta", 0x3B2},
      {"gamma", 0x3B3},
      {"delta", 0x3B4},
      {"epsilon", 0x3F5},
      {"varepsilon", 0x3B5},
      {"zeta", 0x3B6},
      {"eta", 0x3B7},
      {"theta", 0x3B8},
      {"vartheta", 0x3D1},
      {"iota", 0x3B9},
      {"kappa", 0x3BA},
      {"lambda", 0x3BB},
      {"mu", 0x3BC},
      {"nu", 0x3BD},
      {"xi", 0x3BE},
      {"pi", 0x3C0},
      {"rho", 0x3C1},
      {"varrho", 0x3F1},
      {"sigma", 0x3C3},
      {"varsigma", 0x3C2},
      {"tau", 0x3C4},
      {"upsilon", 0x3C5},
      {"phi", 0x3D5},
      {"varphi", 0x3C6},
      {"chi", 0x3C7},
      {"psi", 0x3C8},
      {"omega", 0x3C9},
      {"Gamma", 0x393},
      {"Delta", 0x394},
      {"Theta", 0x398},
      {"Lambda", 0x39B},
      {"Xi", 0x39E},
      {"Pi", 0x3A0},
      {"Sigma", 0x3A3},
      {"Upsilon", 0x3A5},
      {"Phi", 0x3A6},
      {"Psi", 0x3A8},
      {"Omega", 0x3A9},
      {"times", 0xD7},
      {"div", 0xF7},
      {"pm", 0xB1},
      {"mp", 0x2213},
      {"cdot", 0x22C5},
      {"ast", 0x2217},
      {"star", 0x22C6},
      {"circ", 0x2218},
      {"bullet", 0x2219},
      {"oplus", 0x2295},
      {"otimes", 0x2297},
      {"odot", 0x2299},
      {"le", 0x2264},
      {"leq", 0x2264},
      {"leqslant", 0x2A7D},
      {"ge", 0x2265},
      {"geq", 0x2265},
      {"geqslant", 0x2A7E},
      {"ne", 0x2260},
      {"neq", 0x2260},
      {"approx", 0x2248},
      {"equiv", 0x2261},
      {"sim", 0x223C},
      {"simeq", 0x2243},
      {"cong", 0x2245},
      {"propto", 0x221D},
      {"ll", 0x226A},
      {"gg", 0x226B},
      {"in", 0x2208},
      {"notin", 0x2209},
      {"ni", 0x220B},
      {"subset", 0x2282},
      {"subseteq", 0x2286},
      {"supset", 0x2283},
      {"supseteq", 0x2287},
      {"cup", 0x222A},
      {"cap", 0x2229},
      {"emptyset", 0x2205},
      {"varnothing", 0x2205},
      {"setminus", 0x2216},
      {"forall", 0x2200},
      {"exists", 0x2203},
      {"neg", 0xAC},
      {"land", 0x2227},
      {"wedge", 0x2227},
      {"lor", 0x2228},
      {"vee", 0x2228},
      {"to", 0x2192},
      {"rightarrow", 0x2192},
      {"leftarrow", 0x2190},
      {"gets", 0x2190},
      {"leftrightarrow", 0x2194},
      {"Rightarrow", 0x21D2},
      {"Leftarrow", 0x21D0},
      {"Leftrightarrow", 0x21D4},
      {"iff", 0x21D4},
      {"mapsto", 0x21A6},
      {"infty", 0x221E},
      {"partial", 0x2202},
      {"nabla", 0x2207},
      {"ell", 0x2113},
      {"hbar", 0x210F},
      {"Re", 0x211C},
      {"Im", 0x2111},
      {"aleph", 0x2135},
      {"angle", 0x2220},
      {"perp", 0x22A5},
      {"parallel", 0x2225},
      {"mid", 0x2223},
      {"dots", 0x2026},
      {"ldots", 0x2026},
      {"cdots", 0x22EF},
      {"vdots", 0x22EE},
      {"ddots", 0x22F1},
      {"prime", 0x2032},
      {"degree", 0xB0},
      {"therefore", 0x2234},
      {"because", 0x2235},
      {"langle", 0x27E8},
      {"rangle", 0x27E9},
      {"lfloor", 0x230A},
      {"rfloor", 0x230B},
      {"lceil", 0x2308},
      {"rceil", 0x2309},
      {"lvert", '|'},
      {"rvert", '|'},
      {"vert", '|'},
      {"Vert", 0x2016},
      {"|", 0x2016},
      {"lVert", 0x2016},
      {"rVert", 0x2016},
      {"lbrace", '{'},
      {"rbrace", '}'},
      {"{", '{'},
      {"}", '}'},
      {"%", '%'},
      {"$", '$'},
      {"#", '#'},
      {"&", '&'},
      {"_", '_'},
      {"backslash", '\\'}};
  return known;
}

const std::map<std::string, uint32_t> &operators() { // with limits
  static const std::map<std::string, uint32_t> known = {
      {"sum", 0x2211},      {"prod", 0x220F},     {"coprod", 0x2210},
      {"int", 0x222B},      {"iint", 0x222C},     {"iiint", 0x222D},
      {"oint", 0x222E},     {"bigcup", 0x22C3},   {"bigcap", 0x22C2},
      {"bigoplus", 0x2A01}, {"bigotimes", 0x2A02}};
  return known;
}

const std::map<std::string, uint32_t> &accents() {
  static const std::map<std::string, uint32_t> known = {
      {"hat", 0x302},       {"widehat", 0x302}, {"tilde", 0x303},
      {"widetilde", 0x303}, {"bar", 0x305},     {"overline", 0x305},
      {"vec", 0x20D7},      {"dot", 0x307},     {"ddot", 0x308},
      {"check", 0x30C},     {"breve", 0x306}};
  return known;
}

bool one_of(const std::string &name, std::initializer_list<const char *> all) {
  for (const char *each : all)
    if (name == each)
      return true;
  return false;
}

std::string character(uint32_t code) {
  std::string out;
  append_utf8(&out, code);
  return out;
}

class MathReader {
public:
  explicit MathReader(const std::string &latex) : s_(latex) {}

  void read(pugi::xml_node parent) {
    while (i_ < s_.size()) {
      sequence(parent, "", 0);
      if (i_ < s_.size()) // a brace or mark that closes nothing
        run(parent, character_at());
    }
  }

private:
  using Node = pugi::xml_node;

  bool letter(size_t i) const {
    return i < s_.size() &&
           ((s_[i] >= 'a' && s_[i] <= 'z') || (s_[i] >= 'A' && s_[i] <= 'Z'));
  }

  void spaces() {
    while (i_ < s_.size() && (s_[i_] == ' ' || s_[i_] == '\t' ||
                              s_[i_] == '\n' || s_[i_] == '\r'))
      ++i_;
  }

  // The name of the command at i_, without moving.
  std::string command() const {
    if (i_ >= s_.size() || s_[i_] != '\\' || i_ + 1 >= s_.size())
      return std::string();
    size_t end = i_ + 1;
    while (letter(end))
      ++end;
    return s_.substr(i_ + 1, std::max<size_t>(1, end - i_ - 1));
  }

  std::string character_at() {
    size_t end = i_ + 1;
    while (end < s_.size() && (s_[end] & 0xC0) == 0x80)
      ++end;
    const std::string out = s_.substr(i_, end - i_);
    i_ = end;
    return out;
  }

  static void run(Node parent, const std::string &text,
                  const char *style = "") {
    const std::string clean = xml_text(text);
    if (clean.empty())
      return;
    Node node = parent.append_child("m:r");
    if (*style) {
      Node properties = node.append_child("m:rPr");
      if (std::string(style) == "nor")
        properties.append_child("m:nor");
      else
        properties.append_child("m:sty").append_attribute("m:val") = style;
    }
    Node of = node.append_child("m:t");
    of.append_attribute("xml:space") = "preserve";
    of.text().set(clean.c_str());
  }

  // Everything up to `stop`: "}", "]", "\\right", or "cell" for a matrix.
  void sequence(Node parent, const std::string &stop, int depth) {
    for (;;) {
      spaces();
      if (i_ >= s_.size())
        return;
      const std::string name = command();
      if (s_[i_] == '}' || (stop == "]" && s_[i_] == ']') || name == "right")
        return;
      if (stop == "cell" && (s_[i_] == '&' || name == "\\" || name == "end"))
        return;
      item(parent, depth);
    }
  }

  // An atom with what is set above and below it.
  void item(Node parent, int depth) {
    pugi::xml_document scratch;
    const std::string name = command();
    const auto big = operators().find(name);
    Node base = scratch.append_child("m:e");
    if (big != operators().end())
      i_ += name.size() + 1;
    else if (s_[i_] != '^' && s_[i_] != '_') // else scripts of nothing
      atom(base, depth);
    Node below = scratch.append_child("m:sub"),
         above = scratch.append_child("m:sup");
    bool has_below = false, has_above = false, raised = false;
    for (;;) {
      spaces();
      const std::string next = command();
      if (next == "limits" || next == "nolimits") {
        i_ += next.size() + 1;
        continue;
      }
      if (i_ < s_.size() && s_[i_] == '\'') {
        ++i_;
        run(above, character(0x2032));
        has_above = true;
        continue;
      }
      const bool low = i_ < s_.size() && s_[i_] == '_';
      const bool high = i_ < s_.size() && s_[i_] == '^';
      if ((!low && !high) || (low && has_below) || (high && raised))
        break;
      ++i_;
      argument(low ? below : above, depth);
      (low ? has_below : has_above) = true;
      raised = raised || high;
    }
    if (big != operators().end()) {
      Node node = parent.append_child("m:nary");
      Node properties = node.append_child("m:naryPr");
      properties.append_child("m:chr").append_attribute("m:val") =
          character(big->second).c_str();
      properties.append_child("m:limLoc").append_attribute("m:val") =
          name.find("int") != std::string::npos ? "subSup" : "undOvr";
      if (!has_below)
        properties.append_child("m:subHide").append_attribute("m:val") = 1;
      if (!has_above)
        properties.append_child("m:supHide").append_attribute("m:val") = 1;
      node.append_copy(below);
      node.append_copy(above);
      Node inner = node.append_child("m:e");
      spaces();
      const std::string next = command();
      const bool ends = i_ >= s_.size() || s_[i_] == '}' || s_[i_] == '&' ||
                        s_[i_] == ']' || one_of(next, {"right", "end", "\\"});
      if (!ends && depth < kMaxDepth)
        item(inner, depth + 1);
      return;
    }
    const bool limit = one_of(name, {"lim", "max", "min", "sup", "inf",
                                     "limsup", "liminf", "argmax", "argmin"});
    if (has_below && !has_above && limit) {
      Node node = parent.append_child("m:limLow");
      node.append_copy(base);
      Node lim = node.append_child("m:lim");
      for (Node child : below.children())
        lim.append_copy(child);
      return;
    }
    if (!has_below && !has_above) {
      for (Node child : base.children())
        parent.append_copy(child);
      return;
    }
    Node node = parent.append_child(has_below && has_above ? "m:sSubSup"
                                    : has_below            ? "m:sSub"
                                                           : "m:sSup");
    node.append_copy(base);
    if (has_below)
      node.append_copy(below);
    if (has_above)
      node.append_copy(above);
  }

  // A group in braces, or one atom.
  void argument(Node parent, int depth) {
    spaces();
    if (i_ >= s_.size() || s_[i_] == '}')
      return;
    if (s_[i_] == '^' || s_[i_] == '_') {
      run(parent, character_at());
      return;
    }
    atom(parent, depth);
  }

  // The text of a group as it is written.
  std::string raw_group() {
    spaces();
    if (i_ >= s_.size() || s_[i_] != '{')
      return std::string();
    int open = 0;
    const size_t from = i_ + 1;
    for (; i_ < s_.size(); ++i_) {
      open += s_[i_] == '{' ? 1 : s_[i_] == '}' ? -1 : 0;
      if (open == 0)
        break;
    }
    const std::string text = s_.substr(from, i_ - from);
    i_ = std::min(i_ + 1, s_.size());
    return text;
  }

  std::string delimiter() {
    spaces();
    const std::string name = command();
    if (!name.empty()) {
      const auto found = symbols().find(name);
      if (found != symbols().end()) {
        i_ += name.size() + 1;
        return character(found->second);
      }
      return std::string();
    }
    if (i_ >= s_.size())
      return std::string();
    const std::string mark = character_at();
    return mark == "." ? std::string() : mark;
  }

  static void set_delimiters(Node properties, const std::string &begin,
                             const std::string &end) {
    properties.append_child("m:begChr").append_attribute("m:val") =
        begin.c_str();
    properties.append_child("m:endChr").append_attribute("m:val") = end.c_str();
  }

  void atom(Node parent, int depth) {
    if (depth >= kMaxDepth) {
      run(parent, character_at());
      return;
    }
    const char c = s_[i_];
    if (c == '{') {
      ++i_;
      sequence(parent, "}", depth + 1);
      if (i_ < s_.size() && s_[i_] == '}')
        ++i_;
      return;
    }
    if (c == '$') { // marks of mathematics, not a part of it
      ++i_;
      return;
    }
    if (c == '~') {
      ++i_;
      run(parent, " ");
      return;
    }
    const std::string name = command();
    if (name.empty()) {
      const bool number = c >= '0' && c <= '9';
      std::string text = character_at();
      while (number && i_ < s_.size() &&
             ((s_[i_] >= '0' && s_[i_] <= '9') ||
              (s_[i_] == '.' && i_ + 1 < s_.size() && s_[i_ + 1] >= '0' &&
               s_[i_ + 1] <= '9')))
        text += s_[i_++];
      run(parent, text == "-" ? character(0x2212) : text);
      return;
    }
    i_ += name.size() + 1;
    called(parent, name, depth);
  }

  void called(Node parent, const std::string &name, int depth) {
    const auto symbol = symbols().find(name);
    if (symbol != symbols().end())
      return run(parent, character(symbol->second));
    const auto accent = accents().find(name);
    if (accent != accents().end()) {
      Node node = parent.append_child("m:acc");
      node.append_child("m:accPr").append_child("m:chr").append_attribute(
          "m:val") = character(accent->second).c_str();
      return argument(node.append_child("m:e"), depth + 1);
    }
    if (one_of(name, {"frac", "dfrac", "tfrac", "cfrac", "binom"})) {
      Node outer = parent;
      if (name == "binom") {
        outer = parent.append_child("m:d");
        outer.append_child("m:dPr");
        outer = outer.append_child("m:e");
      }
      Node node = outer.append_child("m:f");
      if (name == "binom")
        node.append_child("m:fPr").append_child("m:type").append_attribute(
            "m:val") = "noBar";
      argument(node.append_child("m:num"), depth + 1);
      return argument(node.append_child("m:den"), depth + 1);
    }
    if (name == "sqrt") {
      Node node = parent.append_child("m:rad");
      Node properties = node.append_child("m:radPr");
      Node degree = node.append_child("m:deg");
      spaces();
      if (i_ < s_.size() && s_[i_] == '[') {
        ++i_;
        sequence(degree, "]", depth + 1);
        if (i_ < s_.size() && s_[i_] == ']')
          ++i_;
      } else {
        properties.append_child("m:degHide").append_attribute("m:val") = 1;
      }
      return argument(node.append_child("m:e"), depth + 1);
    }
    if (one_of(name, {"text", "textrm", "mbox", "textbf", "textit"}))
      return run(parent, raw_group(), "nor");
    if (one_of(name, {"mathrm", "operatorname", "rm"})) {
      spaces();
      if (i_ < s_.size() && s_[i_] == '{') {
        std::string text;
        for (char c : raw_group()) // recognisers put blanks between letters
          if (c != ' ')
            text += c;
        if (text.find_first_of("\\{}^_") == std::string::npos)
          return run(parent, text, "p");
        MathReader(text).read(parent);
      }
      return;
    }
    if (one_of(name, {"mathbf", "boldsymbol", "bm", "mathit", "mathcal",
                      "mathbb", "mathsf", "mathfrak", "mathscr"}))
      return argument(parent, depth + 1);
    if (name == "left") {
      const std::string begin = delimiter();
      Node node = parent.append_child("m:d");
      Node properties = node.append_child("m:dPr");
      sequence(node.append_child("m:e"), "\\right", depth + 1);
      std::string end;
      if (command() == "right") {
        i_ += 6;
        end = delimiter();
      }
      return set_delimiters(properties, begin, end);
    }
    if (name == "begin")
      return matrix(parent, raw_group(), depth + 1);
    if (name == "tag")
      return run(parent, "  (" + raw_group() + ")", "nor");
    if (one_of(name,
               {"[",         "]",           "(",        ")",     "displaystyle",
                "textstyle", "scriptstyle", "nonumber", "big",   "Big",
                "bigg",      "Bigg",        "bigl",     "bigr",  "Bigl",
                "Bigr",      "limits",      "nolimits", "hline", "!"}))
      return;
    if (one_of(name, {",", ";", ":", " ", "quad", "qquad", "\\"}))
      return run(parent, " ");
    if (one_of(name,
               {"sin",    "cos",    "tan",    "cot",    "sec",  "csc", "arcsin",
                "arccos", "arctan", "sinh",   "cosh",   "tanh", "log", "ln",
                "lg",     "exp",    "det",    "dim",    "ker",  "deg", "gcd",
                "Pr",     "lim",    "max",    "min",    "sup",  "inf", "limsup",
                "liminf", "arg",    "argmax", "argmin", "mod"}))
      return run(parent, name, "p");
    if (name == "end") { // closes nothing
      raw_group();
      return;
    }
    run(parent, "\\" + name, "nor"); // not known: as it is written
  }

  void matrix(Node parent, const std::string &kind, int depth) {
    spaces();
    if (kind == "array" && i_ < s_.size() && s_[i_] == '{')
      raw_group(); // sides of its columns
    const char first = kind.empty() ? ' ' : kind[0];
    const std::string begin = first == 'p'      ? "("
                              : first == 'b'    ? "["
                              : first == 'B'    ? "{"
                              : first == 'v'    ? "|"
                              : kind == "cases" ? "{"
                                                : "";
    const std::string end = first == 'p'   ? ")"
                            : first == 'b' ? "]"
                            : first == 'B' ? "}"
                            : first == 'v' ? "|"
                                           : "";
    Node place = parent;
    if (!begin.empty()) {
      Node node = parent.append_child("m:d");
      set_delimiters(node.append_child("m:dPr"), begin, end);
      place = node.append_child("m:e");
    }
    Node table = place.append_child("m:m");
    std::vector<std::vector<Node>> rows(1);
    Node row = table.append_child("m:mr");
    size_t most = 1;
    for (;;) {
      Node cell = row.append_child("m:e");
      rows.back().push_back(cell);
      most = std::max(most, rows.back().size());
      sequence(cell, "cell", depth);
      const std::string name = command();
      if (i_ < s_.size() && s_[i_] == '&') {
        ++i_;
      } else if (name == "\\") {
        i_ += 2;
        spaces();
        if (command() == "end") {
          i_ += 4;
          raw_group();
          break;
        }
        row = table.append_child("m:mr");
        rows.emplace_back();
      } else {
        if (name == "end") {
          i_ += 4;
          raw_group();
        }
        break;
      }
      if (i_ >= s_.size())
        break;
    }
    size_t r = 0;
    for (Node each : table.children("m:mr")) // rows have the same length
      for (size_t k = rows[r++].size(); k < most; ++k)
        each.append_child("m:e");
  }

  const std::string s_;
  size_t i_ = 0;
};

} // namespace

void add_math(pugi::xml_node parent, const std::string &latex) {
  MathReader(latex).read(
      parent.append_child("m:oMathPara").append_child("m:oMath"));
}

} // namespace recovery
} // namespace PaddleOCR
