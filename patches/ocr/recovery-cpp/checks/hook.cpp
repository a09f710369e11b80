// What stands between cpp_infer and the library: names of the documents, crops, blanks, lines outside of the regions.
//
//     hook DIR      # writes DIR/photo_ocr.docx; returns the number of what is wrong

#include <include/args.h>
#include <include/structure_recovery.h>

#include <cstdio>

using namespace PaddleOCR;

namespace {

int wrong = 0, looked = 0;

void check(bool good, const char *what, const std::string &got = "") {
  ++looked;
  if (good)
    return;
  ++wrong;
  std::printf("wrong: %s %s\n", what, got.c_str());
}

std::string names(const std::vector<cv::String> &images) {
  std::string all;
  for (const std::string &name : StructureRecovery::Names(images))
    all += name + " ";
  return all;
}

void check_names() {
  const auto want = [](const std::vector<cv::String> &images, const std::string &all) {
    check(names(images) == all, all.c_str(), names(images));
  };
  want({"d/a.jpg", "d/b.png"}, "a b ");
  want({"d/a.jpg", "d/a.png", "d/b.png"}, "a_jpg a_png b ");
  want({"d/a.jpg", "d/a.png", "d/a_jpg.bmp"}, "a_jpg a_png a_jpg_2 ");
  want({"d/v1.2.jpg", "d/v1.3.jpg"}, "v1.2 v1.3 ");
  want({"d/a", "d/b"}, "a b ");
}

// A photograph (smooth, with the noise of a camera) and a drawing.
cv::Mat page_of_two() {
  cv::Mat page(800, 600, CV_8UC3, cv::Scalar::all(255));
  cv::Mat photo(300, 400, CV_8UC3), noise(photo.size(), CV_8UC3);
  for (int y = 0; y < photo.rows; ++y)
    for (int x = 0; x < photo.cols; ++x)
      photo.at<cv::Vec3b>(y, x) = cv::Vec3b(x / 2, (x + y) / 4, 200 - y / 2);
  cv::RNG(1).fill(noise, cv::RNG::UNIFORM, 0, 12);
  photo += noise;
  photo.copyTo(page(cv::Rect(100, 50, 400, 300)));
  cv::rectangle(page, cv::Rect(100, 450, 400, 200), cv::Scalar(200, 60, 40), -1);
  return page;
}

StructurePredictResult figure(float x1, float y1, float x2, float y2) {
  StructurePredictResult made;
  made.type = "figure";
  made.box = {x1, y1, x2, y2};
  made.confidence = 1;
  return made;
}

void write_pictures(const std::string &out) {
  StructureRecovery recovery;
  recovery.AddPage(page_of_two(), {figure(100, 50, 500, 350), figure(100, 450, 700, 900)}); // the second one leaves the page
  check(recovery.Write(out, "photo"), "two pictures are written");
  recovery.AddPage(page_of_two(), {figure(700, 900, 800, 1000)}); // off the page: nothing to crop
  check(!recovery.Write(out, "off"), "a figure off the page is a loss");
}

// A line of text as a picture, through WithBlanks.
std::string read(const std::string &text, bool light) {
  const int font = cv::FONT_HERSHEY_COMPLEX;
  const auto width = [&](const std::string &part) { return cv::getTextSize(part, font, 1, 1, nullptr).width; };
  cv::Mat line(48, width(text) + 20, CV_8UC3, cv::Scalar::all(light ? 20 : 250));
  cv::putText(line, text, cv::Point(10, 34), font, 1, cv::Scalar::all(light ? 240 : 10), 1, cv::LINE_AA);
  std::vector<std::string> characters;
  std::vector<float> places;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == ' ')
      continue; // the recogniser saw none
    characters.push_back(text.substr(i, 1));
    places.push_back(10 + (width(text.substr(0, i)) + width(text.substr(0, i + 1))) / 2.0f);
  }
  return StructureRecovery::WithBlanks(line, characters, places);
}

void check_blanks() {
  for (const bool light : {false, true})
    for (const char *text : {"The left column is read", "illness", "one", "in 12 lines"})
      check(read(text, light) == text, text, read(text, light));
  check(read("1 024.5", false) == "1024.5", "no blank in a number", read("1 024.5", false));
  const cv::Mat white(32, 200, CV_8UC3, cv::Scalar::all(255));
  check(StructureRecovery::WithBlanks(white, {"\xE4\xB8\xAD", "\xE6\x96\x87"}, {20, 150}) == "\xE4\xB8\xAD\xE6\x96\x87", "no blank between ideographs");
  check(StructureRecovery::WithBlanks(white, {}, {}).empty(), "no characters");
  check(StructureRecovery::WithBlanks(white, {"a", "b"}, {-50, 900}).size() >= 2, "places off the picture");
}

OCRPredictResult found(const std::string &text, int x1, int y1, int x2, int y2, float score = 0.9f) {
  OCRPredictResult made;
  made.text = text;
  made.score = score;
  made.box = {{x1, y1}, {x2, y1}, {x2, y2}, {x1, y2}};
  return made;
}

void check_outside() {
  const std::vector<StructurePredictResult> regions = {figure(0, 0, 300, 100)};
  const auto out = StructureRecovery::Outside({found("in", 10, 10, 200, 30), found("edge", 200, 10, 360, 30), found("half", 250, 50, 400, 70),
                                               found("out", 10, 200, 200, 220)},
                                              regions);
  check(out.size() == 2 && out[0].text == "half" && out[1].text == "out", "lines outside of every region");
  std::vector<StructurePredictResult> all = regions;
  StructureRecovery::AddOutside({found("two", 50, 235, 200, 255), found("one", 50, 200, 200, 220), found("far", 50, 600, 200, 620),
                                 found("noise", 300, 600, 400, 620, 0.3f)},
                                all);
  check(all.size() == 3, "neighbouring lines are one region");
  if (all.size() == 3) {
    check(all[1].text_res.size() == 2 && all[1].text_res[0].text == "one" && all[1].text_res[1].text == "two", "from above");
    check(all[1].box == std::vector<float>({50, 200, 200, 255}), "box of the region");
    check(all[1].text_res[1].box[0] == std::vector<int>({0, 35}), "boxes of lines begin at the corner of the region");
    check(all[2].text_res.size() == 1 && all[2].text_res[0].text == "far", "what is not sure is no text");
  }
}

} // namespace

int main(int argc, char **argv) {
  if (argc != 2)
    return 100;
  check(StructureRecovery::Built(), "built with it");
  check_names();
  write_pictures(argv[1]);
  check_blanks();
  check_outside();
  std::printf("%d looked at, %d wrong\n", looked, wrong);
  return wrong;
}
