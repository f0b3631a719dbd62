//! A set of images, decoded one at a time.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use trefoil_ir::text::printable;

use super::error::{DataError, ImageProblem, LabelsError, NpyError};
use super::labels::{LabelLine, Labels, UNLABELLED, read_labels};
use super::npy::{self, NpyArray};
use super::picture;
use super::preprocess::Preprocess;
use super::resize::Pixels;
use super::shape::ImageShape;
use super::tensor::ImageTensor;

/// Images and, where given, their classes; the forms are in the [module's table](super).
pub struct DataSet {
    path: PathBuf,
    source: Source,
    len: usize,
    /// One class per image, or nothing at all.
    labels: Option<Vec<i64>>,
    expected: Option<ImageShape>,
}

enum Source {
    /// Float images `[N, C, H, W]`.
    Floats(NpyArray),
    /// Byte images `[N, H, W, C]`.
    Bytes(NpyArray, Preprocess),
    /// Files, named relative to the folder.
    Pictures(Vec<String>, Preprocess),
}

impl DataSet {
    /// Opens an array or a folder and checks all that can be checked without decoding an image.
    pub fn open(
        data: &Path,
        preprocess: Option<&Preprocess>,
        labels: Option<&Path>,
    ) -> Result<Self, DataError> {
        let labels = match labels {
            Some(path) => Some((path, read_labels(path)?)),
            None => None,
        };
        let metadata = std::fs::metadata(data).map_err(unreadable(data))?;
        if metadata.is_dir() {
            Self::open_folder(data, preprocess, labels)
        } else if picture::is_picture(data).map_err(unreadable(data))? {
            Self::open_picture(data, preprocess, labels)
        } else {
            Self::open_array(data, preprocess, labels)
        }
    }

    /// How many images there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no image, which only [`take`](Self::take) can bring about.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether a label file came with the images; single images may lack a class all the same.
    pub fn has_labels(&self) -> bool {
        self.labels.is_some()
    }

    /// Keeps the first `count` images.
    pub fn take(mut self, count: usize) -> Self {
        self.len = self.len.min(count);
        self
    }

    /// Demands that every image have the network's input shape (channels, height, width).
    ///
    /// An array is checked at once, the pictures of a folder each when it is got.
    pub fn expect_shape(mut self, shape: (usize, usize, usize)) -> Result<Self, DataError> {
        let expected = ImageShape::from(shape);
        self.expected = Some(expected);
        if let Some(found) = self.uniform_shape().map_err(|source| self.at(0, source))? {
            self.check_shape(found).map_err(|source| self.at(0, source))?;
        }
        Ok(self)
    }

    /// Decodes, preprocesses and checks image `index`.
    pub fn get(&self, index: usize) -> Result<ImageTensor, DataError> {
        if index >= self.len {
            let len = self.len;
            return Err(DataError::NoSuchImage { index, len });
        }
        self.load(index)
            .and_then(|image| self.check_shape(image.shape()).map(|()| image))
            .map_err(|source| self.at(index, source))
    }

    /// All images in order.
    pub fn iter(&self) -> impl Iterator<Item = Result<ImageTensor, DataError>> + '_ {
        (0..self.len).map(|index| self.get(index))
    }

    /// An image's file name, or its number in an array.
    pub fn name(&self, index: usize) -> String {
        match &self.source {
            Source::Pictures(files, _) => files.get(index).map(|file| printable(file).into_owned()),
            Source::Floats(_) | Source::Bytes(..) => None,
        }
        .unwrap_or_else(|| index.to_string())
    }

    /// An image's class, if it has one.
    pub fn label(&self, index: usize) -> Option<i64> {
        let class = *self.labels.as_ref()?.get(index)?;
        (class != UNLABELLED).then_some(class)
    }

    /// Which images these are, and in which order, as far as the file system tells: a hash of names,
    /// lengths and times, which does not read a single image.
    ///
    /// # Errors
    /// If a file is not there any more.
    pub fn origin(&self) -> Result<String, DataError> {
        let mut hasher = blake3::Hasher::new();
        for file in self.files() {
            let (path, metadata) = std::path::absolute(&file)
                .and_then(|path| Ok((path, file.metadata()?)))
                .map_err(unreadable(&file))?;
            hasher.update(path.as_os_str().as_encoded_bytes());
            // No name holds it.
            hasher.update(&[0]);
            hasher.update(&metadata.len().to_le_bytes());
            hasher.update(&metadata.mtime().to_le_bytes());
            hasher.update(&metadata.mtime_nsec().to_le_bytes());
        }
        Ok(hasher.finalize().to_string())
    }

    /// The files that the images are in.
    fn files(&self) -> Vec<PathBuf> {
        match &self.source {
            Source::Floats(_) | Source::Bytes(..) => vec![self.path.clone()],
            Source::Pictures(files, _) => {
                let files = files.iter().take(self.len);
                files.map(|file| self.path.join(file)).collect()
            }
        }
    }

    fn open_array(
        path: &Path,
        preprocess: Option<&Preprocess>,
        labels: Option<(&Path, Labels)>,
    ) -> Result<Self, DataError> {
        if !npy::is_npy(path).map_err(unreadable(path))? {
            return Err(DataError::NotData {
                path: path.to_owned(),
            });
        }
        let array = NpyArray::open(path).map_err(wrong_array(path))?;
        let axes = if array.is_float() {
            NpyError::NotNchw
        } else {
            NpyError::NotNhwc
        };
        let array = as_batch(array, axes).map_err(wrong_array(path))?;
        let len = array.shape()[0];
        let source = if array.is_float() {
            Source::Floats(array)
        } else {
            let preprocess = required(preprocess, path)?;
            check_channels(array.shape(), preprocess.channels()).map_err(wrong_array(path))?;
            Source::Bytes(array, preprocess)
        };
        let labels = labels.map(|(file, labels)| one_each(file, labels, len));
        Ok(Self {
            path: path.to_owned(),
            source,
            len,
            labels: labels.transpose()?,
            expected: None,
        })
    }

    fn open_folder(
        folder: &Path,
        preprocess: Option<&Preprocess>,
        labels: Option<(&Path, Labels)>,
    ) -> Result<Self, DataError> {
        let preprocess = required(preprocess, folder)?;
        let (files, labels) = match labels {
            None => (pictures_in(folder)?, None),
            Some((path, Labels::ByFile(lines))) => {
                let (files, classes) = chosen(folder, path, lines)?;
                (files, Some(classes))
            }
            Some((path, labels @ Labels::InOrder(_))) => {
                let files = pictures_in(folder)?;
                let classes = one_each(path, labels, files.len())?;
                (files, Some(classes))
            }
        };
        Ok(Self {
            path: folder.to_owned(),
            len: files.len(),
            source: Source::Pictures(files, preprocess),
            labels,
            expected: None,
        })
    }

    /// A single picture: a folder of which it is chosen.
    fn open_picture(
        file: &Path,
        preprocess: Option<&Preprocess>,
        labels: Option<(&Path, Labels)>,
    ) -> Result<Self, DataError> {
        let preprocess = required(preprocess, file)?;
        let name = file.file_name().and_then(OsStr::to_str);
        let name = name.ok_or_else(|| unreadable(file)(not_utf8()))?.to_owned();
        let labels = match labels {
            Some((path, Labels::ByFile(lines))) => Some(vec![class_of(&name, path, &lines)?]),
            Some((path, labels)) => Some(one_each(path, labels, 1)?),
            None => None,
        };
        Ok(Self {
            path: file.parent().unwrap_or(Path::new("")).to_owned(),
            source: Source::Pictures(vec![name], preprocess),
            len: 1,
            labels,
            expected: None,
        })
    }

    fn load(&self, index: usize) -> Result<ImageTensor, ImageProblem> {
        match &self.source {
            Source::Floats(array) => {
                let (channels, height, width) = inner(array);
                let values = array.floats(index)?;
                let image = ImageTensor {
                    channels,
                    height,
                    width,
                    values,
                };
                image.into_finite()
            }
            Source::Bytes(array, preprocess) => {
                let (height, width, channels) = inner(array);
                preprocess.apply(Pixels {
                    width,
                    height,
                    channels,
                    bytes: array.bytes(index)?,
                })
            }
            Source::Pictures(files, preprocess) => {
                preprocess.apply_rgb(picture::decode(&self.path.join(&files[index]))?)
            }
        }
    }

    /// The shape of every image where it is known beforehand.
    fn uniform_shape(&self) -> Result<Option<ImageShape>, ImageProblem> {
        match &self.source {
            Source::Floats(array) => Ok(Some(inner(array).into())),
            Source::Bytes(array, preprocess) => {
                let (height, width, channels) = inner(array);
                let (width, height) = preprocess.output_size(width, height)?;
                Ok(Some((channels, height, width).into()))
            }
            Source::Pictures(..) => Ok(None),
        }
    }

    fn check_shape(&self, found: ImageShape) -> Result<(), ImageProblem> {
        match self.expected {
            Some(expected) if expected != found => Err(ImageProblem::Shape {
                found,
                expected,
                remedy: self.remedy(found, expected),
            }),
            _ => Ok(()),
        }
    }

    fn remedy(&self, found: ImageShape, expected: ImageShape) -> &'static str {
        // What was read as C, H, W was written as H, W, C.
        let channels_last = (found.width, found.channels, found.height);
        match &self.source {
            Source::Floats(_) if expected == channels_last.into() => {
                "the array looks channels-last: use array.transpose(0, 3, 1, 2)"
            }
            Source::Floats(_) => "float arrays are taken as they are: bring them to that shape",
            _ if found.channels != expected.channels => {
                "give as many numbers in mean and std of the preprocess description as the network \
                 has channels"
            }
            _ => {
                "set shorter_side and crop, or longer_side, canvas and fill, in the preprocess \
                 description"
            }
        }
    }

    fn at(&self, index: usize, source: ImageProblem) -> DataError {
        let path = &self.path;
        let name = match &self.source {
            Source::Pictures(files, _) => {
                format!("`{}`", path.join(printable(&files[index]).as_ref()).display())
            }
            Source::Floats(_) | Source::Bytes(..) => format!("image {index} of `{}`", path.display()),
        };
        DataError::Image { name, source }
    }
}

impl fmt::Debug for DataSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DataSet({}, {} images)", self.path.display(), self.len)
    }
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> DataError {
    let path = path.to_owned();
    |source| DataError::Read { path, source }
}

fn wrong_array(path: &Path) -> impl FnOnce(NpyError) -> DataError {
    let path = path.to_owned();
    |source| DataError::Npy { path, source }
}

fn required(preprocess: Option<&Preprocess>, path: &Path) -> Result<Preprocess, DataError> {
    preprocess.cloned().ok_or_else(|| DataError::PreprocessMissing {
        path: path.to_owned(),
    })
}

/// Four axes with something in each, of an array of four or of a single image's three. (Two would be
/// a grey image's; whether rows come first is then a guess, and so they are refused.)
fn as_batch(array: NpyArray, wrong: fn(Vec<usize>) -> NpyError) -> Result<NpyArray, NpyError> {
    match array.shape() {
        shape if shape.contains(&0) => Err(wrong(shape.to_vec())),
        [_, _, _, _] => Ok(array),
        [_, _, _] => Ok(array.into_batch()),
        shape => Err(wrong(shape.to_vec())),
    }
}

/// The three axes of one image.
fn inner(array: &NpyArray) -> (usize, usize, usize) {
    match *array.shape() {
        [_, a, b, c] => (a, b, c),
        _ => unreachable!("as_batch lets only four axes through"),
    }
}

/// Refuses images `[N, H, W, C]` of another number of channels.
fn check_channels(shape: &[usize], expected: usize) -> Result<(), NpyError> {
    let found = shape[3];
    if found == expected {
        return Ok(());
    }
    Err(NpyError::Channels {
        found,
        expected,
        channels_first: shape[1] == expected,
    })
}

/// The folder's pictures by name, leaving out hidden files (some systems put previews there).
fn pictures_in(folder: &Path) -> Result<Vec<String>, DataError> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable(folder))? {
        let entry = entry.map_err(unreadable(folder))?;
        if is_picture(&entry.path()) && entry.path().is_file() {
            let name = entry.file_name().into_string();
            files.push(name.map_err(|_| unreadable(&entry.path())(not_utf8()))?);
        }
    }
    if files.is_empty() {
        let path = folder.to_owned();
        return Err(DataError::EmptyFolder { path });
    }
    files.sort_unstable();
    Ok(files)
}

fn is_picture(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    let extension = path.extension().unwrap_or_default();
    let mut kinds = ["jpg", "jpeg", "png"].iter();
    !name.as_encoded_bytes().starts_with(b".") && kinds.any(|kind| extension.eq_ignore_ascii_case(kind))
}

/// Such a name could stand neither in a report nor in a label file.
fn not_utf8() -> std::io::Error {
    std::io::Error::other("its name is not UTF-8; rename it")
}

/// The files that a label text names, each checked to be there, and their classes.
fn chosen(folder: &Path, labels: &Path, lines: Vec<LabelLine>) -> Result<(Vec<String>, Vec<i64>), DataError> {
    let missing = lines.iter().find(|line| !folder.join(&line.file).is_file());
    if let Some(line) = missing {
        return Err(DataError::Labels {
            path: labels.to_owned(),
            source: LabelsError::MissingFile {
                line: line.line,
                file: line.file.clone(),
            },
        });
    }
    Ok(lines.into_iter().map(|line| (line.file, line.class)).unzip())
}

/// The class that a label text gives to one file: its first line for it.
fn class_of(file: &str, labels: &Path, lines: &[LabelLine]) -> Result<i64, DataError> {
    let line = lines.iter().find(|line| is_same_file(&line.file, file));
    line.map(|line| line.class).ok_or_else(|| DataError::Labels {
        path: labels.to_owned(),
        source: LabelsError::NotNamed {
            file: file.to_owned(),
        },
    })
}

/// Whether a label text names this file, which is without folders of its own.
fn is_same_file(named: &str, file: &str) -> bool {
    let named = Path::new(named).components();
    named
        .filter(|part| !matches!(part, Component::CurDir))
        .eq(Path::new(file).components())
}

/// Labels in order, exactly one per image.
fn one_each(path: &Path, labels: Labels, images: usize) -> Result<Vec<i64>, DataError> {
    let source = match labels {
        Labels::InOrder(classes) if classes.len() == images => return Ok(classes),
        Labels::InOrder(classes) => LabelsError::Count {
            labels: classes.len(),
            images,
        },
        Labels::ByFile(_) => LabelsError::FilesOfAnArray,
    };
    Err(DataError::Labels {
        path: path.to_owned(),
        source,
    })
}
