//! Every key that an organisation has, as listings show it: listed once, kept for a while, searched
//! for the masked form of a key.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use super::cache::{self, Part, Stock};
use super::why;
use crate::openai::{Access, Admin, AdminKey, ApiKey, Error, News, Pages, Person, Project, Row};
use crate::secret::Masked;
use crate::verdict::{Listing, ListingInfo, Mask, Owner, Record, RecordKind, Why};

/// A cache is written this often while a listing goes on.
const SAVE_EVERY: Duration = Duration::from_secs(20);

/// An organisation that may be asked.
pub struct Organisation {
    /// Its name here.
    pub profile: String,
    /// Who may ask.
    pub admin: Admin,
    /// Where its listings are kept, if they are.
    pub cache: Option<PathBuf>,
}

/// What an organisation has.
pub struct Inventory {
    profile: String,
    stock: Stock,
    /// How whole it is.
    pub listing: Listing,
    /// How old its oldest part is, in seconds.
    pub age: u64,
    index: Index,
}

/// A key in the inventory.
#[derive(Clone, Copy, Debug)]
pub enum Listed<'a> {
    /// Of a project.
    Project(&'a Project, &'a ApiKey),
    /// Of the administration.
    Admin(&'a AdminKey),
}

impl Organisation {
    /// Whether an inventory would be taken from the cache, so that nobody is asked.
    pub fn is_warm(&self, max_age: Duration) -> bool {
        is_whole(&self.remembered(max_age))
    }

    fn remembered(&self, max_age: Duration) -> Stock {
        let service = self.admin.service();
        let base = service.settings().base.to_string();
        let now = service.clock().now().as_second();
        let mut stock = match &self.cache {
            Some(path) if !max_age.is_zero() => cache::load(path, &base),
            _ => Stock::empty(&base),
        };
        let max_age = i64::try_from(max_age.as_secs()).unwrap_or(i64::MAX);
        stock.forget(now.saturating_sub(max_age), now);
        stock
    }

    /// Lists everything, or takes from the cache what is not older than `max_age`; zero takes
    /// nothing from it. What can't be listed makes the inventory incomplete; it is never an empty one.
    pub fn inventory(&self, max_age: Duration) -> Inventory {
        let service = self.admin.service();
        let mut stock = self.remembered(max_age);
        let warm = is_whole(&stock);
        let mut listing = match self.fill(&mut stock) {
            Ok(()) => Listing::Complete,
            Err(why) => Listing::Incomplete(why),
        };
        if let Some(name) = self.admin.organisation() {
            stock.organisation = Some(name);
        }
        if !warm {
            self.keep(&stock);
        }
        let (index, unreadable) = Index::of(&stock);
        if unreadable > 0 && listing == Listing::Complete {
            let text =
                format!("{unreadable} of the listed keys have no masked form that can be read");
            listing = Listing::Incomplete(Why::new("no_masked_form", text));
        }
        let all_say = stock.keys.values().flat_map(|part| &part.rows);
        let honoured = stock.keys.values().any(|part| !part.rows.is_empty())
            && all_say
                .clone()
                .all(|key| key.owner_project_access.is_some());
        if listing == Listing::Complete && (stock.unsaid || !honoured) {
            listing = Listing::Visible;
        }
        let now = service.clock().now().as_second();
        let age = stock.oldest().map_or(0, |at| now.saturating_sub(at));
        Inventory {
            profile: self.profile.clone(),
            listing,
            age: u64::try_from(age).unwrap_or(0),
            index,
            stock,
        }
    }

    /// Without a cache the next run lists again: no reason to fail this one.
    fn keep(&self, stock: &Stock) {
        if let Some(path) = &self.cache {
            let _ = cache::save(path, stock);
        }
    }

    fn fill(&self, stock: &mut Stock) -> Result<(), Why> {
        let service = self.admin.service();
        let clock = service.clock();
        let explain = |error: Error| why(&error);
        let now = || clock.now().as_second();
        if !stock.projects.as_ref().is_some_and(|part| part.whole) {
            let mut part = stock.projects.take().unwrap_or_else(|| Part::begun(now()));
            let done = go_on(&mut part, self.admin.projects(true));
            stock.projects = Some(part);
            done.map_err(explain)?;
        }
        if !stock.admin_keys.as_ref().is_some_and(|part| part.whole) {
            let mut part = stock
                .admin_keys
                .take()
                .unwrap_or_else(|| Part::begun(now()));
            let done = go_on(&mut part, self.admin.admin_keys());
            stock.admin_keys = Some(part);
            done.map_err(explain)?;
        }
        let projects: Vec<String> = stock
            .projects
            .iter()
            .flat_map(|part| &part.rows)
            .map(|project| project.id.clone())
            .collect();
        let total = projects.len() as u64;
        let known: BTreeSet<&String> = projects.iter().collect();
        stock.keys.retain(|project, _| known.contains(project));
        let mut saved = clock.uptime();
        for (done, project) in projects.iter().enumerate() {
            if stock.keys.get(project).is_some_and(|part| part.whole) {
                continue;
            }
            service.progress().tell(News::Step {
                what: "projects listed",
                done: done as u64,
                total,
                left: service.least_time(total - done as u64),
            });
            self.list_keys(stock, project, now()).map_err(explain)?;
            if clock.uptime() > saved + SAVE_EVERY {
                saved = clock.uptime();
                self.keep(stock);
            }
        }
        Ok(())
    }

    fn list_keys(&self, stock: &mut Stock, project: &str, now: i64) -> Result<(), Error> {
        let begun = stock.keys.remove(project);
        let mut part = begun.unwrap_or_else(|| Part::begun(now));
        let access = |unsaid| if unsaid { Access::Unsaid } else { Access::Any };
        let list = |part: &mut Part<ApiKey>, unsaid| {
            let done = go_on(part, self.admin.api_keys(project, access(unsaid)));
            let lost = |error: &Error| {
                error
                    .refusal()
                    .is_some_and(|r| matches!(r.status, 400 | 404))
            };
            match done {
                // The row behind which it would go on may be gone: from the beginning, then.
                Err(error) if part.next.is_some() && lost(&error) => {
                    *part = Part::begun(now);
                    go_on(part, self.admin.api_keys(project, access(unsaid)))
                }
                done => done,
            }
        };
        let mut done = list(&mut part, stock.unsaid);
        let refused = |error: &Error| error.refusal().is_some_and(|r| r.is_api && r.status == 400);
        if done.as_ref().is_err_and(refused) && !stock.unsaid {
            // An API of before July 2026 that minds what it doesn't know.
            stock.unsaid = true;
            done = list(&mut part, true);
        }
        if done.as_ref().is_err_and(Error::is_not_found) {
            // Gone since the projects were listed.
            part.whole = true;
            done = Ok(());
        }
        stock.keys.insert(project.to_owned(), part);
        done
    }
}

/// Reads on where a part ends. What came before an error stays.
fn go_on<T: Row>(part: &mut Part<T>, pages: Pages<'_, T>) -> Result<(), Error> {
    for page in pages.resume(part.next.clone()) {
        let page = page?;
        part.rows.extend(page.rows);
        part.whole = page.next.is_none();
        part.next = page.next;
    }
    Ok(())
}

fn is_whole(stock: &Stock) -> bool {
    let Some(projects) = stock.projects.as_ref().filter(|part| part.whole) else {
        return false;
    };
    let listed = |project: &Project| stock.keys.get(&project.id).is_some_and(|part| part.whole);
    stock.admin_keys.as_ref().is_some_and(|part| part.whole) && projects.rows.iter().all(listed)
}

/// Where a row stands in a stock.
#[derive(Clone, Debug)]
enum Place {
    Project { project: usize, key: usize },
    Admin(usize),
}

/// Rows by the end of their masked form.
#[derive(Default)]
struct Index {
    by_tail: HashMap<Vec<u8>, Vec<(Mask, Place)>>,
    lengths: BTreeSet<usize>,
}

impl Index {
    /// The index, and how many rows could not be read.
    fn of(stock: &Stock) -> (Self, usize) {
        let mut index = Self::default();
        let mut unreadable = 0;
        let mut add =
            |masked: &Option<String>, place: Place| match masked.as_deref().and_then(Mask::parse) {
                Some(mask) => {
                    index.lengths.insert(mask.tail().len());
                    let alike = index.by_tail.entry(mask.tail().to_vec()).or_default();
                    alike.push((mask, place));
                }
                None => unreadable += 1,
            };
        let projects = stock.projects.iter().flat_map(|part| &part.rows);
        for (project, row) in projects.enumerate() {
            let keys = stock
                .keys
                .get(&row.id)
                .into_iter()
                .flat_map(|part| &part.rows);
            for (key, row) in keys.enumerate() {
                add(&row.redacted_value, Place::Project { project, key });
            }
        }
        let admin = stock.admin_keys.iter().flat_map(|part| &part.rows);
        for (key, row) in admin.enumerate() {
            add(&row.redacted_value, Place::Admin(key));
        }
        (index, unreadable)
    }

    fn fitting(&self, key: &[u8]) -> impl Iterator<Item = &Place> {
        let tails = self.lengths.iter().filter_map(|length| {
            let start = key.len().checked_sub(*length)?;
            self.by_tail.get(&key[start..])
        });
        let fits = |(mask, _): &&(Mask, Place)| mask.fits(key);
        tails.flatten().filter(fits).map(|(_, place)| place)
    }
}

impl Inventory {
    /// For reports.
    pub fn info(&self) -> ListingInfo {
        ListingInfo {
            profile: self.profile.clone(),
            organisation: self.stock.organisation.as_ref().map(|name| shown(name)),
            projects: self.projects().count() as u64,
            keys: self.rows().count() as u64,
            age: self.age,
            incomplete: match &self.listing {
                Listing::Incomplete(why) => Some(why.detail.clone()),
                Listing::Complete | Listing::Visible => None,
            },
        }
    }

    /// The projects, archived ones too.
    pub fn projects(&self) -> impl Iterator<Item = &Project> {
        self.stock.projects.iter().flat_map(|part| &part.rows)
    }

    fn keys_of<'a>(&'a self, project: &'a Project) -> impl Iterator<Item = Listed<'a>> {
        let part = self.stock.keys.get(&project.id);
        let keys = part.into_iter().flat_map(|part| &part.rows);
        keys.map(move |key| Listed::Project(project, key))
    }

    /// Every key.
    pub fn rows(&self) -> impl Iterator<Item = Listed<'_>> {
        let admin = self.stock.admin_keys.iter().flat_map(|part| &part.rows);
        let projects = self.projects().flat_map(|project| self.keys_of(project));
        projects.chain(admin.map(Listed::Admin))
    }

    /// The rows whose masked form this key would have.
    pub fn fitting(&self, key: &[u8]) -> Vec<Record> {
        let record = |place: &Place| {
            let projects = &self.stock.projects.as_ref()?.rows;
            Some(self.record(match place {
                Place::Project { project, key } => {
                    let project = projects.get(*project)?;
                    let keys = self.stock.keys.get(&project.id)?;
                    Listed::Project(project, keys.rows.get(*key)?)
                }
                Place::Admin(key) => Listed::Admin(self.stock.admin_keys.as_ref()?.rows.get(*key)?),
            }))
        };
        self.index.fitting(key).filter_map(record).collect()
    }

    /// A row as reports show it.
    pub fn record(&self, row: Listed<'_>) -> Record {
        let some = |text: &Option<String>| text.as_ref().map(|text| shown(text));
        let own = |kind: &str, person: &Person| Owner {
            kind: shown(kind),
            id: some(&person.id),
            name: some(&person.name),
            email: some(&person.email),
            role: some(&person.role),
        };
        let organisation = some(&self.stock.organisation);
        let profile = self.profile.clone();
        match row {
            Listed::Project(project, key) => Record {
                profile,
                organisation,
                kind: RecordKind::Project,
                project: Some(shown(&project.id)),
                project_name: some(&project.name),
                archived: project.is_archived(),
                id: shown(&key.id),
                name: some(&key.name),
                masked: shown(key.redacted_value.as_deref().unwrap_or_default()),
                owner: key.owner.as_ref().and_then(|owner| {
                    let kind = match owner.is_service_account() {
                        true => "service_account",
                        false => owner.kind.as_deref().unwrap_or("user"),
                    };
                    Some(own(kind, owner.person()?))
                }),
                created_at: key.created_at,
                last_used_at: key.last_used_at,
                expires_at: key.expires_at,
                scopes: None,
            },
            Listed::Admin(key) => Record {
                profile,
                organisation,
                kind: RecordKind::Admin,
                project: None,
                project_name: None,
                archived: false,
                id: shown(&key.id),
                name: some(&key.name),
                masked: shown(key.redacted_value.as_deref().unwrap_or_default()),
                owner: key
                    .owner
                    .as_ref()
                    .map(|owner| own(owner.kind.as_deref().unwrap_or("user"), owner)),
                created_at: key.created_at,
                last_used_at: key.last_used_at,
                expires_at: key.expires_at,
                scopes: None,
            },
        }
    }
}

/// Texts of the API were redacted when they came in.
fn shown(text: &str) -> Masked {
    Masked::vouched(text)
}
