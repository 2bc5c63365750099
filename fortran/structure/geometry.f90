!> Cells of any shape and periodicity.
module tf_geometry
   use tf_kinds, only : wp, i8
   use tf_error, only : error_type, raise, error_geometry
   implicit none
   private
   public :: box_type, new_box, wrap

   !> A cell completed to three vectors, so that any position has three internal coordinates
   type :: box_type
      !> Rows of the inverse: coordinate k of position r is dot_product(inverse(k,:), r)
      real(wp) :: inverse(3, 3) = 0.0_wp
      !> Columns are the vectors
      real(wp) :: vectors(3, 3) = 0.0_wp
      !> Distance between the planes of coordinate k = 0 and 1, Å
      real(wp) :: height(3) = 0.0_wp
      logical :: periodic(3) = .false.
   end type box_type

contains

   !> Complete the cell: vectors along which it is not periodic are replaced by unit vectors
   !> perpendicular to the others
   subroutine new_box(cell, periodic, box, error)
      !> Columns are the lattice vectors, Å; ignored where not periodic
      real(wp), intent(in) :: cell(3, 3)
      logical, intent(in) :: periodic(3)
      type(box_type), intent(out) :: box
      type(error_type), allocatable, intent(inout) :: error
      real(wp) :: volume, bulk, v(3, 3)
      integer :: k, a, b

      v = cell
      box%periodic = periodic
      select case (count(periodic))
      case (0)
         v = identity()
      case (1)
         a = findloc(periodic, .true., dim=1)
         v(:, next(a)) = unit(perpendicular(v(:, a)))
         v(:, next(next(a))) = unit(cross(v(:, a), v(:, next(a))))
      case (2)
         k = findloc(periodic, .false., dim=1)
         v(:, k) = unit(cross(v(:, next(k)), v(:, next(next(k)))))
      end select
      box%vectors = v
      volume = dot_product(v(:, 1), cross(v(:, 2), v(:, 3)))
      ! What the volume would be if the vectors were perpendicular
      bulk = norm2(v(:, 1))*norm2(v(:, 2))*norm2(v(:, 3))
      if (.not. (abs(volume) > 1.0e-10_wp*bulk) .or. .not. (bulk <= huge(bulk))) then
         call raise(error, error_geometry, "the lattice vectors are linearly dependent or not finite")
         return
      end if
      do k = 1, 3
         a = next(k)
         b = next(a)
         box%inverse(k, :) = cross(v(:, a), v(:, b))/volume
         box%height(k) = 1.0_wp/norm2(box%inverse(k, :))
      end do
   end subroutine new_box

   !> Internal coordinates and position after moving an atom into the cell along periodic vectors
   pure subroutine wrap(box, position, coordinate, wrapped)
      type(box_type), intent(in) :: box
      !> Å
      real(wp), intent(in) :: position(3)
      !> In [0,1) along periodic vectors
      real(wp), intent(out) :: coordinate(3)
      !> Å
      real(wp), intent(out) :: wrapped(3)
      real(wp) :: whole
      integer :: k

      wrapped = position
      do k = 1, 3
         coordinate(k) = dot_product(box%inverse(k, :), position)
         if (.not. box%periodic(k)) cycle
         whole = real(floor(coordinate(k), kind=i8), wp)
         coordinate(k) = coordinate(k) - whole
         wrapped = wrapped - whole*box%vectors(:, k)
      end do
   end subroutine wrap

   pure function cross(a, b) result(c)
      real(wp), intent(in) :: a(3), b(3)
      real(wp) :: c(3)

      c = [a(2)*b(3) - a(3)*b(2), a(3)*b(1) - a(1)*b(3), a(1)*b(2) - a(2)*b(1)]
   end function cross

   pure function unit(a) result(c)
      real(wp), intent(in) :: a(3)
      real(wp) :: c(3)

      c = a/max(norm2(a), tiny(1.0_wp))
   end function unit

   !> Any vector perpendicular to a
   pure function perpendicular(a) result(c)
      real(wp), intent(in) :: a(3)
      real(wp) :: c(3), axis(3)

      axis = 0.0_wp
      axis(minloc(abs(a), dim=1)) = 1.0_wp
      c = cross(a, axis)
   end function perpendicular

   pure integer function next(k)
      integer, intent(in) :: k

      next = mod(k, 3) + 1
   end function next

   pure function identity() result(v)
      real(wp) :: v(3, 3)
      integer :: k

      v = 0.0_wp
      do k = 1, 3
         v(k, k) = 1.0_wp
      end do
   end function identity

end module tf_geometry
